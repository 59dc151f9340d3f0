"""API keys on a real MongoDB: what is kept of them, what they may do, and when they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.users.errors import TooManyKeys
from promptforge.actors.users.keys.domain import MOST_KEYS, SHAPE
from promptforge.actors.users.messages import (
    CreateApiKey,
    CreatedApiKeyView,
    EnsureUser,
    GetMe,
    ListApiKeys,
    ResolveApiKey,
    RevokeApiKey,
    UpdateProfile,
)
from promptforge.core.audit import INDEXES as AUDIT_INDEXES
from promptforge.core.audit import AuditFilter, AuditLog
from promptforge.core.context import Context
from promptforge.core.credentials import API_KEY, SHOWN
from promptforge.core.errors import Invalid, NotFound, ScopeMissing
from promptforge.core.identity import NOBODY, DevelopmentVerifier, InvalidToken, Principals
from promptforge.core.identity.tokens import RevokedToken
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal, Role
from promptforge.core.runtime import System
from promptforge.deploy.identity import judging_again, key_finder, provisioner
from tests.support.mongo import with_indexes
from tests.support.people import PEOPLE_INDEXES, people
from tests.support.processes import UNHURRIED_SECONDS, SteppedClock

pytestmark = pytest.mark.anyio


@dataclass
class World:
    system: System
    clock: SteppedClock

    async def person(self, uid: str = "ada", *roles: Role) -> Context:
        trusted = self.system.context(request_id="r", trusted=True)
        identity = await trusted.ask(
            EnsureUser(uid=uid, email=None, name=None, roles=roles, as_of=self.clock.now().timestamp())
        )
        principal = Principal(identity.user_id, uid, frozenset(identity.roles))
        return self.system.context(request_id="r", principal=principal, timeout_seconds=UNHURRIED_SECONDS)

    async def program(self, key: CreatedApiKeyView) -> Context:
        """Whoever has the key."""
        found = await key_finder(self.system)(key.secret or "", NOBODY)
        assert found is not None
        return self.system.context(request_id="r", principal=found[0], timeout_seconds=UNHURRIED_SECONDS)

    async def works(self, key: CreatedApiKeyView) -> bool:
        return await key_finder(self.system)(key.secret or "", NOBODY) is not None


@pytest.fixture
async def world(mongo: Mongo) -> AsyncIterator[World]:
    await with_indexes(mongo, {**PEOPLE_INDEXES, **AUDIT_INDEXES})
    clock = SteppedClock()
    system = people(mongo, clock=clock)
    async with system.running(grace_seconds=5):
        yield World(system, clock)


def request(*scopes: str, days: int = 90) -> CreateApiKey:
    return CreateApiKey(name="export", scopes=scopes or ("profile:read",), expires_in_days=days)


async def test_the_secret_is_shown_once_and_not_kept(world: World, mongo: Mongo) -> None:
    ada = await world.person()
    made = await ada.ask(request())
    assert made.secret is not None
    assert made.secret.startswith(API_KEY)
    assert made.key.prefix == made.secret[:SHOWN]
    listed = await ada.ask(ListApiKeys())
    assert listed.items == (made.key,)
    assert listed.available_scopes == ("profile:read", "profile:write", "prompts:read")
    for collection in ("api_keys", "audit_log"):
        rows = await mongo.collection(collection).find({}).to_list(None)
        assert rows
        assert made.secret[SHOWN:] not in repr(rows)
    assert made.without_secrets().secret is None


async def test_a_key_may_do_what_its_scopes_and_its_owners_roles_allow(world: World) -> None:
    ada = await world.person("ada", Role.SELLER)
    program = await world.program(await ada.ask(request("profile:read")))
    assert program.principal is not None
    assert program.principal.roles == {Role.USER, Role.SELLER}
    assert (await program.ask(GetMe())).id == ada.user_id
    with pytest.raises(ScopeMissing):
        await program.ask(UpdateProfile(bio="x"))
    for message in (request(), ListApiKeys(), RevokeApiKey(key_id=program.principal.key_id or "")):
        with pytest.raises(ScopeMissing):
            await program.ask(message)
    await world.person("ada")  # the role is gone
    found = await world.system.context(request_id="r", trusted=True).ask(
        ResolveApiKey(key=(await ada.ask(request())).secret or "")
    )
    assert found is not None
    assert found.identity.roles == (Role.USER,)


async def test_an_expired_a_revoked_and_a_made_up_key_are_none(world: World) -> None:
    ada = await world.person()
    brief, revoked = await ada.ask(request(days=1)), await ada.ask(request())
    assert await world.works(brief)
    assert await world.works(revoked)
    await ada.ask(RevokeApiKey(key_id=revoked.key.id))
    assert not await world.works(revoked)
    world.clock.advance(days=1)
    assert not await world.works(brief)
    find = key_finder(world.system)
    assert await find(SHAPE.new(), NOBODY) is None
    assert await find("pfk_", NOBODY) is None
    assert [key.id for key in (await ada.ask(ListApiKeys())).items] == [brief.key.id]


async def test_a_stream_of_a_key_ends_when_it_is_looked_at_again(world: World) -> None:
    """What an event stream asks once a minute, of whose key it was opened with."""
    ada, eve = await world.person("ada"), await world.person("eve")
    brief, revoked = await ada.ask(request(days=1)), await ada.ask(request())
    judge = judging_again(world.system, Principals(DevelopmentVerifier("demo-promptforge"), provisioner(world.system)))

    def asker(key: CreatedApiKeyView, who: Context = ada) -> Principal:
        return Principal(who.user_id, "ada", scopes=frozenset(key.key.scopes), key_id=key.key.id)

    for key in (brief, revoked):
        again = await judge(asker(key))
        assert (again.scopes, again.key_id) == (frozenset(key.key.scopes), key.key.id)
    with pytest.raises(RevokedToken):
        await judge(asker(brief, eve))
    await ada.ask(RevokeApiKey(key_id=revoked.key.id))
    with pytest.raises(RevokedToken):
        await judge(asker(revoked))
    world.clock.advance(days=1)
    with pytest.raises(RevokedToken):
        await judge(asker(brief))


async def test_anothers_key_is_not_there(world: World) -> None:
    ada, eve = await world.person("ada"), await world.person("eve")
    key = await ada.ask(request())
    with pytest.raises(NotFound):
        await eve.ask(RevokeApiKey(key_id=key.key.id))
    assert (await eve.ask(ListApiKeys())).items == ()
    assert await world.works(key)
    await ada.ask(RevokeApiKey(key_id=key.key.id))
    with pytest.raises(NotFound):
        await ada.ask(RevokeApiKey(key_id=key.key.id))


async def test_a_scope_that_no_operation_has_is_refused(world: World) -> None:
    ada = await world.person()
    with pytest.raises(Invalid) as refused:
        await ada.ask(request("profile:read", "root:all"))
    assert [error.pointer for error in refused.value.errors] == ["/scopes/1"]


async def test_nobody_has_more_keys_than_the_limit_however_fast_they_ask(world: World) -> None:
    ada = await world.person()
    made: list[CreatedApiKeyView] = []
    refused = 0

    async def create() -> None:
        nonlocal refused
        try:
            made.append(await ada.ask(request()))
        except TooManyKeys:
            refused += 1

    for _ in range(4):
        async with anyio.create_task_group() as tasks:
            for _ in range(14):
                tasks.start_soon(create)
    assert (len(made), refused) == (MOST_KEYS, 56 - MOST_KEYS)
    await ada.ask(RevokeApiKey(key_id=made[0].key.id))
    await create()
    assert len(made) == MOST_KEYS + 1


async def test_use_is_noted_once_a_minute(world: World) -> None:
    ada = await world.person()
    key = await ada.ask(request())
    assert key.key.last_used_at is None

    async def last_used() -> object:
        return (await ada.ask(ListApiKeys())).items[0].last_used_at

    assert await world.works(key)
    first = world.clock.now()
    assert await last_used() == first
    world.clock.advance(seconds=59)
    assert await world.works(key)
    assert await last_used() == first
    world.clock.advance(seconds=1)
    assert await world.works(key)
    assert await last_used() == first + timedelta(seconds=60)


async def test_making_and_revoking_is_in_the_audit_log(world: World, mongo: Mongo) -> None:
    ada = await world.person()
    key = await ada.ask(request())
    await ada.ask(RevokeApiKey(key_id=key.key.id))
    entries = (await AuditLog(mongo).list_page(AuditFilter(target=key.key.id), None, 10)).items
    assert [entry.action for entry in entries] == ["api_key.revoked", "api_key.created"]
    assert {entry.actor.user_id for entry in entries} == {ada.user_id}


class NoTokens:
    """API keys are not for the verifier of sign-ins."""

    async def verify(self, token: str, *, check_revoked: bool = False) -> object:
        raise AssertionError(token)

    async def find_account(self, uid: str) -> None:
        """Nobody keeps accounts here."""


async def test_a_known_key_is_forgotten_when_it_or_its_owner_changes(world: World) -> None:
    ada = await world.person()
    key = await ada.ask(request())
    principals = Principals(NoTokens(), NoTokens().verify, find_key=key_finder(world.system))  # type: ignore[arg-type]
    secret = key.secret or ""
    for owner in (key.key.id, ada.user_id):
        principal = await principals.resolve(secret)
        assert (principal.key_id, principal.scopes) == (key.key.id, frozenset({"profile:read"}))
        assert principals.cached(secret) == principal
        principals.evict(owner)
        assert principals.cached(secret) is None
    await ada.ask(RevokeApiKey(key_id=key.key.id))
    with pytest.raises(InvalidToken):
        await principals.resolve(secret)


def test_a_key_with_a_typing_error_is_none() -> None:
    key = SHAPE.new()
    assert SHAPE.fits(key)
    assert not SHAPE.fits(key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert not SHAPE.fits(key[:10] + ("0" if key[10] != "0" else "1") + key[11:])
    assert not SHAPE.fits(key + "0")


@given(st.text(max_size=60))
def test_no_text_makes_the_check_fail(text: str) -> None:
    SHAPE.fits(text)
    SHAPE.fits(API_KEY + text)
