"""People on a real MongoDB: provisioned once, kept up to date, unique by handle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import anyio
import pytest

from promptforge.actors.users.domain import User
from promptforge.actors.users.errors import HandleTaken
from promptforge.actors.users.messages import (
    EnsureUser,
    GetIdentity,
    GetMe,
    GetPublicProfile,
    Identity,
    MeView,
    UpdateProfile,
)
from promptforge.actors.users.store import INDEXES, UserStore
from promptforge.core.audit import AuditFilter, AuditLog
from promptforge.core.context import Context
from promptforge.core.errors import AccountSuspended, Forbidden, Invalid, NotFound, Unauthenticated
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal, Role
from promptforge.core.runtime import System
from tests.support.mongo import with_indexes
from tests.support.people import people
from tests.support.processes import UNHURRIED_SECONDS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def systems(mongo: Mongo) -> AsyncIterator[tuple[System, System]]:
    """Two processes on one database."""
    await with_indexes(mongo, INDEXES)
    first, second = (people(mongo) for _ in range(2))
    async with first.running(grace_seconds=5), second.running(grace_seconds=5):
        yield first, second


@pytest.fixture
def system(systems: tuple[System, System]) -> System:
    return systems[0]


async def sign_in(system: System, uid: str, *roles: Role, name: str | None = None, as_of: float = 1.0) -> Context:
    """What the edge does with a verified token: a context with its principal."""
    message = EnsureUser(uid=uid, email=f"{uid}@a.example", name=name, roles=roles, as_of=as_of)
    identity = await system.context(request_id="r", trusted=True).ask(message)
    return signed_in(system, identity, uid)


def signed_in(system: System, identity: Identity, uid: str) -> Context:
    principal = Principal(identity.user_id, uid, frozenset(identity.roles), suspended=identity.suspended)
    return system.context(request_id="r", principal=principal, timeout_seconds=UNHURRIED_SECONDS)


async def test_the_first_request_makes_the_user(system: System, mongo: Mongo) -> None:
    ada = await sign_in(system, "ada", Role.SELLER, name="  Ada\nLovelace ")
    me = await ada.ask(GetMe())
    assert me.id.startswith("usr_")
    assert (me.email, me.handle, me.display_name) == ("ada@a.example", None, "Ada Lovelace")
    assert me.roles == (Role.USER, Role.SELLER)
    row = await mongo.collection("users").find_one({})
    assert row is not None
    assert "credits" not in row, "that field is billing's"


class LookingTogether(UserStore):
    """The first look of each process finds nobody before any of them writes."""

    def __init__(self, mongo: Mongo, everyone_looked: anyio.Event, still_to_look: list[None]) -> None:
        super().__init__(mongo)
        self._everyone_looked = everyone_looked
        self._still_to_look = still_to_look

    async def find_by_uid(self, uid: str) -> User | None:
        found = await super().find_by_uid(uid)
        if self._still_to_look:
            self._still_to_look.pop()
            if not self._still_to_look:
                self._everyone_looked.set()
            await self._everyone_looked.wait()
        return found


async def test_many_first_requests_at_once_make_one_user(mongo: Mongo) -> None:
    await with_indexes(mongo, INDEXES)
    identities: list[str] = []
    everyone_looked, still_to_look = anyio.Event(), [None] * 4
    systems = [people(mongo, LookingTogether(mongo, everyone_looked, still_to_look)) for _ in range(4)]

    async def first_request(system: System) -> None:
        context = await sign_in(system, "ada")
        identities.append(context.user_id)

    async with AsyncExitStack() as running:
        for system in systems:
            await running.enter_async_context(system.running(grace_seconds=5))
        async with anyio.create_task_group() as tasks:
            for number in range(32):
                tasks.start_soon(first_request, systems[number % 4])
    assert len(identities) == 32
    assert len(set(identities)) == 1
    assert await mongo.collection("users").count_documents({}) == 1


async def test_roles_and_email_follow_the_token_and_suspension_stays(system: System, mongo: Mongo) -> None:
    ada = await sign_in(system, "ada", Role.SELLER)
    await mongo.collection("users").update_one({"uid": "ada"}, {"$set": {"suspended": True}})
    message = EnsureUser(uid="ada", email="new@a.example", name="Other", roles=(Role.MODERATOR,), as_of=2.0)
    trusted = system.context(request_id="req_second", trace_id="trace", trusted=True)
    expected = Identity(ada.user_id, "ada", (Role.USER, Role.MODERATOR), suspended=True)
    assert await trusted.ask(message) == await trusted.ask(GetIdentity(user_id=ada.user_id)) == expected
    me = await ada.ask(GetMe())
    assert (me.email, me.display_name, me.suspended) == ("new@a.example", None, True)
    told = (await AuditLog(mongo).list_page(AuditFilter(action="user.roles_changed"), None, 10)).items
    assert [(entry.target, entry.before, entry.after) for entry in told] == [
        (ada.user_id, {"roles": ["user", "seller"]}, {"roles": ["user", "moderator"]}),
        (ada.user_id, {"roles": []}, {"roles": ["user", "seller"]}),
    ]
    assert (told[0].request_id, told[0].trace_id) == ("req_second", "trace")


async def test_a_token_from_before_gives_no_role_back(system: System, mongo: Mongo) -> None:
    before, after = ((Role.ADMIN,), 10.0), ((), 20.0)
    for roles, as_of in (before, after, before, after):
        await sign_in(system, "ada", *roles, as_of=as_of)
    late = await sign_in(system, "ada", *before[0], as_of=before[1])
    assert (await late.ask(GetMe())).roles == (Role.USER,)
    again = await sign_in(system, "ada", Role.ADMIN, as_of=30.0)
    assert (await again.ask(GetMe())).roles == (Role.USER, Role.ADMIN)
    told = await AuditLog(mongo).list_page(AuditFilter(action="user.roles_changed"), None, 10)
    assert [entry.after for entry in told.items] == [
        {"roles": ["user", "admin"]},
        {"roles": ["user"]},
        {"roles": ["user", "admin"]},
    ]


async def test_a_role_that_was_never_had_comes_with_no_older_token(system: System) -> None:
    """The newest word counts though it said nothing new, and the older token was never seen before."""
    await sign_in(system, "ada", as_of=10.0)
    await sign_in(system, "ada", as_of=30.0)
    late = await sign_in(system, "ada", Role.ADMIN, as_of=20.0)
    assert (await late.ask(GetMe())).roles == (Role.USER,)


async def test_two_first_requests_of_staff_make_one_user(mongo: Mongo) -> None:
    await with_indexes(mongo, INDEXES)
    everyone_looked, still_to_look = anyio.Event(), [None] * 2
    systems = [people(mongo, LookingTogether(mongo, everyone_looked, still_to_look)) for _ in range(2)]
    async with AsyncExitStack() as running:
        for system in systems:
            await running.enter_async_context(system.running(grace_seconds=5))
        async with anyio.create_task_group() as tasks:
            for system in systems:
                tasks.start_soon(sign_in, system, "ada", Role.OPERATOR)
    assert await mongo.collection("users").count_documents({}) == 1
    told = await AuditLog(mongo).list_page(AuditFilter(action="user.roles_changed"), None, 10)
    assert len(told.items) == 1


async def test_a_sign_in_that_says_nothing_new_writes_nothing(system: System, mongo: Mongo) -> None:
    await sign_in(system, "ada", Role.SELLER, Role.MODERATOR)
    before = await mongo.collection("users").find_one({})
    await sign_in(system, "ada", Role.MODERATOR, Role.SELLER)
    assert await mongo.collection("users").find_one({}) == before


async def test_a_role_of_another_version_is_passed_over(system: System, mongo: Mongo) -> None:
    ada = await sign_in(system, "ada")
    await mongo.collection("users").update_one({"uid": "ada"}, {"$set": {"roles": ["user", "emperor"]}})
    identity = await system.context(request_id="r", trusted=True).ask(GetIdentity(user_id=ada.user_id))
    assert identity is not None
    assert identity.roles == (Role.USER,)


async def test_nobody_has_no_identity(system: System) -> None:
    assert await system.context(request_id="r", trusted=True).ask(GetIdentity(user_id="usr_none")) is None


async def test_only_the_fields_that_are_sent_change(system: System, mongo: Mongo) -> None:
    ada = await sign_in(system, "ada")
    await mongo.collection("users").update_one({"uid": "ada"}, {"$set": {"credits": {"purchased": 5}}})
    full = await ada.ask(
        UpdateProfile(
            handle="Ada-L",
            display_name="Ada",
            bio="Counts.",
            avatar_url="https://a.example/p.png",
            links=("https://a.example",),
        )
    )
    assert full.handle == "ada-l"
    changed = await ada.ask(UpdateProfile(bio="Computes."))
    assert changed == _with(full, bio="Computes.", updated_at=changed.updated_at)
    cleared = await ada.ask(UpdateProfile(avatar_url=None, links=None))
    assert cleared == _with(changed, avatar_url=None, links=(), updated_at=cleared.updated_at)
    assert await ada.ask(UpdateProfile()) == cleared
    row = await mongo.collection("users").find_one({})
    assert row is not None
    assert row["credits"] == {"purchased": 5}


def _with(me: MeView, **changes: object) -> MeView:
    return MeView(**{**{name: getattr(me, name) for name in MeView.__slots__}, **changes})


async def test_a_handle_is_unique_without_regard_to_case(system: System) -> None:
    ada, bob = await sign_in(system, "ada"), await sign_in(system, "bob")
    await ada.ask(UpdateProfile(handle="Lovelace"))
    with pytest.raises(HandleTaken):
        await bob.ask(UpdateProfile(handle="loveLACE", bio="Mine?"))
    assert (await bob.ask(GetMe())).bio is None
    await ada.ask(UpdateProfile(handle="LOVELACE", bio="Still mine."))
    assert (await ada.ask(UpdateProfile(handle=None))).handle is None


async def test_of_many_who_want_one_handle_at_once_one_gets_it(systems: tuple[System, System]) -> None:
    people = [await sign_in(systems[number % 2], f"uid-{number}") for number in range(12)]
    got: list[str] = []

    async def claim(person: Context) -> None:
        try:
            await person.ask(UpdateProfile(handle="golden"))
        except HandleTaken:
            return
        got.append(person.user_id)

    async with anyio.create_task_group() as tasks:
        for person in people:
            tasks.start_soon(claim, person)
    assert len(got) == 1


async def test_reserved_handles_are_refused(system: System) -> None:
    ada = await sign_in(system, "ada")
    with pytest.raises(Invalid):
        await ada.ask(UpdateProfile(handle="Admin"))


async def test_a_public_profile_is_found_in_any_case_and_says_nothing_private(system: System) -> None:
    ada = await sign_in(system, "ada")
    await ada.ask(UpdateProfile(handle="lovelace", display_name="Ada"))
    anyone = system.context(request_id="r")
    profile = await anyone.ask(GetPublicProfile(handle="LoveLace"))
    assert (profile.id, profile.handle, profile.display_name) == (ada.user_id, "lovelace", "Ada")
    shown = repr(profile)
    assert "ada@a.example" not in shown
    assert "uid" not in shown
    with pytest.raises(NotFound):
        await anyone.ask(GetPublicProfile(handle="nobody-here"))


async def test_the_suspended_are_not_shown_and_cannot_write(system: System, mongo: Mongo) -> None:
    ada = await sign_in(system, "ada")
    await ada.ask(UpdateProfile(handle="lovelace"))
    await mongo.collection("users").update_one({"uid": "ada"}, {"$set": {"suspended": True}})
    with pytest.raises(NotFound):
        await system.context(request_id="r").ask(GetPublicProfile(handle="lovelace"))
    again = await sign_in(system, "ada")
    assert (await again.ask(GetMe())).suspended
    with pytest.raises(AccountSuspended):
        await again.ask(UpdateProfile(bio="Let me in"))


async def test_identities_are_the_services_own_business(system: System) -> None:
    ada = await sign_in(system, "ada", Role.ADMIN)
    with pytest.raises(Forbidden):
        await ada.ask(GetIdentity(user_id=ada.user_id))
    with pytest.raises(Unauthenticated):
        await system.context(request_id="r").ask(GetMe())
