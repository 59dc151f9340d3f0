"""Whoever runs the service stays until somebody else does: the deletion of administrators' accounts."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from promptforge.actors.accounts.messages import (
    CancelDeletion,
    DeletionState,
    GetDeletion,
    Obstacle,
    RequestDeletion,
)
from promptforge.actors.users.roles.messages import SetRoles
from promptforge.actors.users.staff.messages import ReinstateAccount, SuspendAccount
from promptforge.core.context import Context
from promptforge.core.messages import Message
from promptforge.core.principal import Role
from tests.integration.accounts.test_closing_races import Beside, close, due
from tests.integration.accounts.test_deletion import problem
from tests.integration.marketplace.branches import Branches
from tests.support.market import raised

pytestmark = pytest.mark.anyio
LEAVE = RequestDeletion()
REASON = "For the test"


def suspend(whom: Context) -> SuspendAccount:
    return SuspendAccount(user_id=whom.user_id, reason=REASON)


def deprive(whom: Context) -> SetRoles:
    return SetRoles(user_id=whom.user_id, roles=(), expected=(Role.ADMIN,), reason=REASON)


async def administrators(branches: Branches) -> int:
    return await branches.count("users", roles="admin", suspended={"$ne": True}, closed_at=None)


async def test_the_last_administrator_is_told_to_make_another_one_first(branches: Branches) -> None:
    ada, eve = [await branches.here.person(uid, *roles) for uid, roles in (("ada", [Role.ADMIN]), ("eve", []))]
    refused = await problem(ada, LEAVE)
    assert (refused["code"], refused["obstacles"]) == ("deletion_blocked", ["last_administrator"])
    await ada.ask(SetRoles(user_id=eve.user_id, roles=(Role.ADMIN,), expected=(), reason=REASON))
    assert (await ada.ask(LEAVE)).state is DeletionState.SCHEDULED


async def test_who_is_none_leaves_as_before(branches: Branches) -> None:
    eve = await branches.here.person("eve", Role.MODERATOR, Role.OPERATOR)
    assert await raised(eve, LEAVE) == "done"


async def test_who_waits_for_their_deletion_is_not_one_who_stays(branches: Branches) -> None:
    ada, bob = [await branches.here.person(uid, Role.ADMIN) for uid in ("ada", "bob")]
    assert await raised(ada, LEAVE) == "done"
    assert await raised(ada, LEAVE) == "done", "to ask again changes nothing"
    assert await raised(bob, LEAVE) == "deletion_blocked"
    await ada.ask(CancelDeletion())
    assert await raised(bob, LEAVE) == "done"
    assert await raised(ada, LEAVE) == "deletion_blocked"


async def test_who_is_suspended_does_not_stay_and_may_leave(branches: Branches) -> None:
    ada, bob = [await branches.here.person(uid, Role.ADMIN) for uid in ("ada", "bob")]
    await ada.ask(suspend(bob))
    assert await raised(ada, LEAVE) == "deletion_blocked"
    assert await raised(bob, LEAVE) == "done"
    await ada.ask(ReinstateAccount(user_id=bob.user_id, reason=REASON))
    assert await raised(ada, LEAVE) == "deletion_blocked", "and now it is bob who leaves"


@pytest.mark.parametrize("deed", [suspend, deprive])
async def test_who_has_become_the_last_one_meanwhile_is_kept_when_it_is_due(branches: Branches, deed: object) -> None:
    ada, bob, eve = [await branches.here.person(uid, Role.ADMIN) for uid in ("ada", "bob", "eve")]
    await due(branches, ada)
    await due(branches, bob)
    await ada.ask(suspend(eve) if deed is suspend else deprive(eve))
    assert await close(branches.here, ada) == await close(branches.here, bob) == "not_now"
    assert (await ada.ask(GetDeletion())).obstacles == (Obstacle.LAST_ADMINISTRATOR,)
    await bob.ask(CancelDeletion())
    await due_again(branches, ada)
    assert await close(branches.here, ada) == "done"
    assert await administrators(branches) == 1


async def due_again(branches: Branches, person: Context) -> None:
    await branches.mongo.collection("account_deletions").update_one(
        {"_id": person.user_id}, [{"$set": {"due_at": "$requested_at"}}]
    )


# Two at once


async def test_of_two_who_leave_at_once_one_is_left(branches: Branches) -> None:
    ada, bob = await branches.here.person("ada", Role.ADMIN), await branches.there.person("bob", Role.ADMIN)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, raised(bob, LEAVE))
        first = await raised(ada, LEAVE)
    assert sorted([first, beside.outcome]) == ["deletion_blocked", "done"]


async def test_of_three_who_leave_at_once_one_is_left(branches: Branches) -> None:
    """Each could count on the next."""
    three = [
        await market.person(uid, Role.ADMIN)
        for market, uid in ((branches.here, "ada"), (branches.there, "bob"), (branches.here, "eve"))
    ]
    outcomes = Counter[str]()

    async def leave(person: Context) -> None:
        outcomes[await raised(person, LEAVE)] += 1

    async with anyio.create_task_group() as tasks:
        for person in three:
            tasks.start_soon(leave, person)
    assert outcomes == {"done": 2, "deletion_blocked": 1}


@pytest.mark.parametrize("deed", [suspend, deprive])
async def test_who_leaves_while_the_last_other_one_is_stopped_is_kept_then(branches: Branches, deed: object) -> None:
    """Ada's account is closed at the moment in which she (a request of hers is under way) stops Bob."""
    ada, there = await branches.person("ada", Role.ADMIN)
    bob = await branches.here.person("bob", Role.ADMIN)
    await due(branches, ada)
    message: Message[object] = suspend(bob) if deed is suspend else deprive(bob)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, raised(there, message))
        closed = await close(branches.here, ada)
    assert (closed, beside.outcome) in {("done", "forbidden"), ("not_now", "done")}
    assert await administrators(branches) == 1


async def test_who_is_counted_on_leaves_later(branches: Branches) -> None:
    """Bob asks after Ada's account has been looked at, and before it is closed."""
    ada, bob = await branches.here.person("ada", Role.ADMIN), await branches.there.person("bob", Role.ADMIN)
    await due(branches, ada)
    async with anyio.create_task_group() as tasks:
        beside = Beside(branches, tasks, raised(bob, LEAVE))
        closed = await close(branches.here, ada)
    assert (closed, beside.outcome) in {("done", "deletion_blocked"), ("not_now", "done")}
    assert await administrators(branches) >= 1
