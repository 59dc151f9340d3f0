"""Roles on a real MongoDB, with two processes: who decides, who is faster, and what sign-ins say afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.users import PeopleActor, RoleMirrorActor, RolesActor, UsersActor
from promptforge.actors.users.domain import User
from promptforge.actors.users.handles.store import HandleStore
from promptforge.actors.users.messages import EnsureUser, GetMe
from promptforge.actors.users.roles.messages import (
    AssignRoles,
    GetRoles,
    ListRoleChanges,
    MirrorRoles,
    RolesView,
    SetRoles,
)
from promptforge.actors.users.roles.store import INDEXES as ROLE_INDEXES
from promptforge.actors.users.roles.store import Mirrored, RoleStore
from promptforge.actors.users.staff.history import AccountHistory
from promptforge.actors.users.staff.messages import SuspendAccount
from promptforge.actors.users.staff.store import AccountStore
from promptforge.actors.users.store import INDEXES, UserStore
from promptforge.core.audit import AuditFilter, AuditLog
from promptforge.core.context import Context
from promptforge.core.errors import Unavailable
from promptforge.core.mongo import Mongo, Session, ensure_indexes
from promptforge.core.principal import Principal, Role
from promptforge.core.runtime import Actor, handles
from tests.support.market import raised
from tests.support.processes import UNHURRIED_SECONDS, TestProcess, job_process

pytestmark = pytest.mark.anyio
REASON = "For the test"


class Firebase:
    """Claims by uid, and what happens while they are written."""

    def __init__(self) -> None:
        self.claims: dict[str, Sequence[str]] = {}
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.away = False

    async def put_roles(self, uid: str, roles: Sequence[str]) -> None:
        if self.away:
            raise Unavailable
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        self.claims[uid] = roles


class Telling(Actor):
    """Hears what people are told."""

    name = "telling"

    def __init__(self) -> None:
        self.told: list[NotifyUser] = []

    @handles(NotifyUser)
    async def tell(self, message: NotifyUser, context: Context) -> None:
        self.told.append(message)


class Stores:
    """What a process has, to be replaced by a test."""

    def __init__(self, mongo: Mongo) -> None:
        self.mongo = mongo
        self.users: UserStore = UserStore(mongo)
        self.accounts: AccountStore = AccountStore(mongo)
        self.roles: RoleStore = RoleStore(mongo)
        self.firebase = Firebase()
        self.telling = Telling()


@asynccontextmanager
async def process(stores: Stores) -> AsyncIterator[TestProcess]:
    await ensure_indexes(stores.mongo, {**INDEXES, **ROLE_INDEXES})
    actors = [
        UsersActor(stores.users, HandleStore(stores.mongo)),
        PeopleActor(stores.accounts, AccountHistory(stores.mongo), appeal_for=timedelta(days=184)),
        RolesActor(stores.roles, stores.accounts),
        RoleMirrorActor(stores.roles, stores.firebase.put_roles),
        stores.telling,
    ]
    async with job_process(stores.mongo, actors, running=False) as opened:
        yield opened


@pytest.fixture
def stores(mongo: Mongo) -> Stores:
    return Stores(mongo)


@pytest.fixture
async def here(stores: Stores) -> AsyncIterator[TestProcess]:
    async with process(stores) as opened:
        yield opened


@pytest.fixture
async def there(mongo: Mongo) -> AsyncIterator[TestProcess]:
    """Another process on the same database."""
    async with process(Stores(mongo)) as opened:
        yield opened


async def person(process: TestProcess, uid: str, *roles: Role, as_of: float = 1.0) -> Context:
    """A request under way, of somebody who has signed in."""
    message = EnsureUser(uid=uid, email=None, name=uid, roles=roles, as_of=as_of)
    identity = await process.context().ask(message)
    principal = Principal(identity.user_id, uid, frozenset(identity.roles), suspended=identity.suspended)
    return process.system.context(request_id=f"req_{uid}", principal=principal, timeout_seconds=UNHURRIED_SECONDS)


def giving(to: Context, *roles: Role, seen: Sequence[Role] = (), reason: str = REASON) -> SetRoles:
    return SetRoles(user_id=to.user_id, roles=roles, expected=tuple(seen), reason=reason)


async def test_a_decision_says_who_why_and_is_audited(here: TestProcess, mongo: Mongo) -> None:
    admin, ada = await person(here, "admin", Role.ADMIN), await person(here, "ada", Role.SELLER)
    before = await admin.ask(GetRoles(user_id=ada.user_id))
    assert before == RolesView(ada.user_id, (Role.USER, Role.SELLER), None)
    now = await admin.ask(giving(ada, Role.MODERATOR, Role.USER, Role.MODERATOR, seen=[Role.SELLER]))
    assert now.roles == (Role.USER, Role.MODERATOR)
    assert now.decided is not None
    assert (now.decided.before, now.decided.by, now.decided.reason) == (before.roles, admin.user_id, REASON)
    assert await admin.ask(GetRoles(user_id=ada.user_id)) == now
    assert (await admin.ask(ListRoleChanges(user_id=ada.user_id))).items == (now.decided,)
    told = (await AuditLog(mongo).list_page(AuditFilter(target=ada.user_id), None, 10)).items
    assert (told[0].action, told[0].actor.user_id) == ("user.roles_changed", admin.user_id)
    after = {"roles": ["user", "moderator"], "reason_code": "other"}
    assert (told[0].before, told[0].after) == ({"roles": ["user", "seller"]}, after)


async def test_no_sign_in_gives_back_what_was_taken_away_older_or_newer(here: TestProcess) -> None:
    admin, eve = await person(here, "admin", Role.ADMIN), await person(here, "eve", Role.MODERATOR, as_of=10.0)
    await admin.ask(giving(eve, seen=[Role.MODERATOR]))
    for as_of in (5.0, 10.0, 20.0, 9e12):
        again = await person(here, "eve", Role.MODERATOR, Role.ADMIN, as_of=as_of)
        assert again.principal is not None
        assert again.principal.roles == {Role.USER}
    assert (await admin.ask(GetRoles(user_id=eve.user_id))).roles == (Role.USER,)


async def test_no_sign_in_takes_away_what_was_given(here: TestProcess) -> None:
    admin, ada = await person(here, "admin", Role.ADMIN), await person(here, "ada")
    await admin.ask(giving(ada, Role.SELLER))
    again = await person(here, "ada", as_of=100.0)
    assert (await again.ask(GetMe())).roles == (Role.USER, Role.SELLER)


class Interposed(UserStore):
    """Somebody decides after the sign-in's transaction has read the person, and before it writes."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def get(self, user_id: str, *, session: Session | None = None) -> User:
        found = await super().get(user_id, session=session)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return found


async def test_a_sign_in_beside_the_decision_does_not_overrule_it(stores: Stores, there: TestProcess) -> None:
    stores.users = slow = Interposed(stores.mongo)
    async with process(stores) as here:
        admin, eve = await person(there, "admin", Role.ADMIN), await person(here, "eve")
        slow.meanwhile = lambda: admin.ask(giving(eve, Role.SELLER))
        again = await person(here, "eve", Role.ADMIN, as_of=50.0)
        assert again.principal is not None
        assert again.principal.roles == {Role.USER, Role.SELLER}


async def test_nobody_decides_about_themselves_or_about_nobody(here: TestProcess) -> None:
    admin = await person(here, "admin", Role.ADMIN)
    for roles in ((), (Role.ADMIN, Role.MODERATOR)):
        assert await raised(admin, giving(admin, *roles, seen=[Role.ADMIN])) == "not_oneself"
    unknown = SetRoles(user_id="usr_nobody", roles=(), expected=(), reason=REASON)
    assert await raised(admin, unknown) == await raised(admin, GetRoles(user_id="usr_nobody")) == "not_found"


async def test_who_saw_other_roles_is_told(here: TestProcess) -> None:
    admin, ada = await person(here, "admin", Role.ADMIN), await person(here, "ada", Role.SELLER)
    assert await raised(admin, giving(ada, Role.MODERATOR)) == "roles_changed"
    assert (await admin.ask(GetRoles(user_id=ada.user_id))).roles == (Role.USER, Role.SELLER)


async def test_an_answer_that_was_lost_is_given_again(here: TestProcess) -> None:
    admin, ada = await person(here, "admin", Role.ADMIN), await person(here, "ada")
    first = await admin.ask(giving(ada, Role.SELLER))
    assert await admin.ask(giving(ada, Role.SELLER)) == first
    assert await raised(admin, giving(ada, Role.SELLER, reason="Another one")) == "roles_changed"
    assert len((await admin.ask(ListRoleChanges(user_id=ada.user_id))).items) == 1


async def test_of_many_decisions_at_once_one_counts_and_the_others_are_told(
    here: TestProcess, there: TestProcess
) -> None:
    ada = await person(here, "ada")
    admins = [await person((here, there)[number % 2], f"admin-{number}", Role.ADMIN) for number in range(6)]
    wanted = [(role,) for role in Role if role is not Role.USER]
    outcomes: list[str] = []

    async def decide(number: int) -> None:
        reason = f"Decision {number}"
        message = giving(ada, *wanted[number % len(wanted)], reason=reason)
        outcomes.append(await raised(admins[number], message))

    async with anyio.create_task_group() as tasks:
        for number in range(len(admins)):
            tasks.start_soon(decide, number)
    assert sorted(outcomes) == ["done", *["roles_changed"] * (len(admins) - 1)]
    assert len((await admins[0].ask(ListRoleChanges(user_id=ada.user_id))).items) == 1


class Together(AccountStore):
    """The first look of each of two processes finds its administrator before any of them goes on."""

    def __init__(self, mongo: Mongo, looked: list[anyio.Event], mine: int) -> None:
        super().__init__(mongo)
        self._looked = looked
        self._mine = mine

    async def expect_administrator(self, user_id: str, *, now: datetime, session: Session | None) -> None:
        await super().expect_administrator(user_id, now=now, session=session)
        self._looked[self._mine].set()
        await self._looked[1 - self._mine].wait()


def taking(from_: Context) -> SetRoles:
    return giving(from_, seen=[Role.ADMIN])


def suspending(whom: Context) -> SuspendAccount:
    return SuspendAccount(user_id=whom.user_id, reason=REASON)


@pytest.mark.parametrize("deed", [taking, suspending])
async def test_of_two_administrators_who_end_each_others_powers_one_is_left(
    mongo: Mongo, deed: Callable[[Context], SetRoles | SuspendAccount]
) -> None:
    looked = [anyio.Event(), anyio.Event()]
    both = [Stores(mongo), Stores(mongo)]
    for mine, one in enumerate(both):
        one.accounts = Together(mongo, looked, mine)
    async with process(both[0]) as here, process(both[1]) as there:
        ada, bob = await person(here, "ada", Role.ADMIN), await person(there, "bob", Role.ADMIN)
        outcomes: list[str] = []

        async def end(by: Context, other: Context) -> None:
            outcomes.append(await raised(by, deed(other)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end, ada, bob)
            tasks.start_soon(end, bob, ada)
    assert sorted(outcomes) == ["done", "forbidden"]
    wanted = {"roles": "admin", "suspended": False}
    assert await mongo.collection("users").count_documents(wanted) == 1


async def test_who_was_suspended_while_the_request_was_under_way_decides_nothing(here: TestProcess) -> None:
    admin, eve, ada = [await person(here, uid, Role.ADMIN) for uid in ("admin", "eve", "ada")]
    await admin.ask(suspending(eve))
    assert await raised(eve, giving(ada, seen=[Role.ADMIN])) == "forbidden"


async def test_the_command_line_makes_the_first_administrator(here: TestProcess, mongo: Mongo) -> None:
    ada = await person(here, "ada")
    made = await here.context().ask(AssignRoles(user_id=ada.user_id, roles=(Role.ADMIN,), reason=REASON))
    assert made.roles == (Role.USER, Role.ADMIN)
    assert made.decided is not None
    assert made.decided.by is None
    assert await raised(ada, AssignRoles(user_id=ada.user_id, roles=(), reason=REASON)) == "forbidden"
    told = (await AuditLog(mongo).list_page(AuditFilter(target=ada.user_id), None, 10)).items
    assert told[0].actor.user_id is None


# What Firebase is told


async def test_firebase_is_told_by_a_job_of_the_same_commit(here: TestProcess, stores: Stores, mongo: Mongo) -> None:
    admin, ada = await person(here, "admin", Role.ADMIN), await person(here, "ada")
    await admin.ask(giving(ada, Role.SELLER))
    assert stores.firebase.claims == {}
    await here.runner.drain()
    assert stores.firebase.claims == {"ada": ("user", "seller")}
    assert [(one.user_id, one.kind) for one in stores.telling.told] == [(ada.user_id, "account.roles_changed")]
    assert "seller.\n\nWhy (other): The note says why. For the test" in stores.telling.told[0].body
    assert stores.telling.told[0].subject == {"reason_code": "other"}


async def test_while_firebase_is_away_it_is_tried_again_and_the_roles_count_all_the_same(
    here: TestProcess, stores: Stores, mongo: Mongo
) -> None:
    admin, ada = await person(here, "admin", Role.ADMIN), await person(here, "ada")
    stores.firebase.away = True
    await admin.ask(giving(ada, Role.SELLER))
    await here.runner.drain()
    again = await person(here, "ada", as_of=100.0)
    assert (await again.ask(GetMe())).roles == (Role.USER, Role.SELLER)
    waiting = await mongo.collection("jobs").find_one({"kind": MirrorRoles.message_kind})
    assert waiting is not None
    assert (waiting["state"], waiting["max_attempts"]) == ("available", 20)


async def test_a_late_job_does_not_leave_older_roles_at_firebase(here: TestProcess, stores: Stores) -> None:
    """Between its look and its write somebody decides anew, and the other job has done its work already."""
    admin, ada = await person(here, "admin", Role.ADMIN), await person(here, "ada")
    await admin.ask(giving(ada, Role.ADMIN))

    async def decide() -> None:
        await admin.ask(giving(ada, seen=[Role.ADMIN]))
        stores.firebase.claims["ada"] = ("user",)

    stores.firebase.meanwhile = decide
    await here.context().ask(MirrorRoles(user_id=ada.user_id))
    assert stores.firebase.claims == {"ada": ("user",)}


async def test_nothing_is_told_of_who_has_left_or_was_never_decided_about(here: TestProcess, mongo: Mongo) -> None:
    admin, ada = await person(here, "admin", Role.ADMIN), await person(here, "ada")
    assert await RoleStore(mongo).find_mirrored(ada.user_id) is None
    await admin.ask(giving(ada, Role.SELLER))
    found = await RoleStore(mongo).find_mirrored(ada.user_id)
    assert isinstance(found, Mirrored)
    await mongo.collection("users").update_one(
        {"_id": ada.user_id}, {"$set": {"closed_at": datetime(2026, 1, 1, tzinfo=UTC)}}
    )
    assert await RoleStore(mongo).find_mirrored(ada.user_id) is None
    assert await raised(admin, giving(ada, seen=[Role.SELLER])) == "not_found"
