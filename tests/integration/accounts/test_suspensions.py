"""Suspended accounts: what ends, for whom, and that it comes back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from promptforge.actors.accounts.messages import RequestDeletion
from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.marketplace.messages import PurchaseListing
from promptforge.actors.prompts.messages import CreatePrompt
from promptforge.actors.users.messages import UpdateProfile
from promptforge.actors.users.staff.messages import (
    GetAccount,
    ListAccountEvents,
    ListAccounts,
    ReinstateAccount,
    SuspendAccount,
)
from promptforge.core.audit import AuditFilter, AuditLog
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.accounts.lives import erased
from tests.integration.marketplace.branches import Branches
from tests.support.market import raised

pytestmark = pytest.mark.anyio
REASON = "Sells what others wrote"


async def test_a_suspension_says_who_why_and_is_told(branches: Branches, mongo: Mongo) -> None:
    admin, ada = await branches.here.person("admin", Role.ADMIN), await branches.here.person("ada")
    seen = await admin.ask(SuspendAccount(user_id=ada.user_id, reason=REASON))
    assert seen.suspension is not None
    assert (seen.suspended, seen.suspension.reason, seen.suspension.by) == (True, REASON, admin.user_id)
    again = await branches.here.person("ada")
    assert await raised(again, UpdateProfile(bio="x")) == "done"  # this principal is from before: see the edge's tests
    told = await branches.here.notices(ada)
    assert [(one.kind, REASON in one.body) for one in told] == [("account.suspended", True)]
    back = await admin.ask(ReinstateAccount(user_id=ada.user_id, reason="It was a mistake"))
    assert (back.suspended, back.suspension) == (False, None)
    deeds = [
        entry.action for entry in (await AuditLog(mongo).list_page(AuditFilter(target=ada.user_id), None, 10)).items
    ]
    assert deeds[:2] == ["user.reinstated", "user.suspended"]


async def test_each_decision_is_kept_with_its_reason(branches: Branches) -> None:
    admin, ada = await branches.here.person("admin", Role.ADMIN), await branches.here.person("ada")
    other = await branches.here.person("other", Role.ADMIN)
    await admin.ask(SuspendAccount(user_id=ada.user_id, reason="first"))
    await other.ask(SuspendAccount(user_id=ada.user_id, reason="second"))
    await admin.ask(ReinstateAccount(user_id=ada.user_id, reason="third"))
    await admin.ask(ReinstateAccount(user_id=ada.user_id, reason="of nothing"))
    await other.ask(SuspendAccount(user_id=ada.user_id, reason="fourth"))
    first = await other.ask(ListAccountEvents(user_id=ada.user_id, limit=3))
    rest = await other.ask(ListAccountEvents(user_id=ada.user_id, limit=3, cursor=first.next))
    told = [(one.event.value, one.reason, one.by) for one in (*first.items, *rest.items)]
    assert told == [
        ("suspended", "fourth", other.user_id),
        ("reinstated", "third", admin.user_id),
        ("suspended", "second", other.user_id),
        ("suspended", "first", admin.user_id),
    ]
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    assert len((await admin.ask(ListAccountEvents(user_id=ada.user_id))).items) == 4, "kept, for six years"
    assert await raised(admin, ListAccountEvents(user_id="usr_nobody")) == "not_found"
    assert await raised(ada, ListAccountEvents(user_id=ada.user_id)) == "forbidden"


async def test_of_a_suspension_from_before_there_was_a_history_the_reason_stays(branches: Branches) -> None:
    admin, ada = await branches.here.person("admin", Role.ADMIN), await branches.here.person("ada")
    before = {"reason": "long ago", "by": "usr_gone", "at": datetime(2026, 1, 2, tzinfo=UTC)}
    users = branches.mongo.collection("users")
    await users.update_one({"_id": ada.user_id}, {"$set": {"suspended": True, "suspension": before}})
    await admin.ask(ReinstateAccount(user_id=ada.user_id, reason="since then"))
    told = [(one.event.value, one.reason) for one in (await admin.ask(ListAccountEvents(user_id=ada.user_id))).items]
    assert told == [("reinstated", "since then"), ("suspended", "long ago")]


async def test_nobody_suspends_themselves(branches: Branches) -> None:
    admin = await branches.here.person("admin", Role.ADMIN)
    assert await raised(admin, SuspendAccount(user_id=admin.user_id, reason=REASON)) == "not_oneself"
    assert await raised(admin, SuspendAccount(user_id="usr_nobody", reason=REASON)) == "not_found"


async def test_an_account_that_is_closed_is_neither_suspended_nor_reinstated(branches: Branches) -> None:
    """What is written of who has left would stay: the erasure has come by."""
    admin, ada = await branches.here.person("admin", Role.ADMIN), await branches.here.person("ada")
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    for message in (SuspendAccount, ReinstateAccount):
        users = branches.mongo.collection("users")
        suspended = message is ReinstateAccount
        await users.update_one({"_id": ada.user_id}, {"$set": {"suspended": suspended}})
        assert await raised(admin, message(user_id=ada.user_id, reason=REASON)) == "not_found"
    assert (await admin.ask(GetAccount(user_id=ada.user_id))).suspension is None
    assert await branches.count("account_events") == 0
    assert await branches.count("notifications", user_id=ada.user_id) == 0


async def test_nothing_is_bought_from_or_by_who_is_suspended_whatever_principal_the_request_came_with(
    branches: Branches,
) -> None:
    admin = await branches.here.person("admin", Role.ADMIN)
    sam = await branches.here.person("sam", Role.SELLER)
    bruno, eve = await branches.here.person("bruno"), await branches.here.person("eve")
    for person in (bruno, eve):
        await branches.here.fund(person, 20)
    listing = await branches.here.published(sam, "Wanted")
    wanted = PurchaseListing(listing_id=listing.id, expected_price="10")
    await admin.ask(SuspendAccount(user_id=bruno.user_id, reason=REASON))
    assert await raised(bruno, wanted) == "account_suspended"
    await admin.ask(SuspendAccount(user_id=sam.user_id, reason=REASON))
    assert await raised(eve, wanted) == "not_for_sale"
    await admin.ask(ReinstateAccount(user_id=sam.user_id, reason=REASON))
    assert await raised(eve, wanted) == "done"
    assert (await bruno.ask(GetCredits())).available == "20"
    assert await branches.ledger_is_right()


async def test_administrators_find_people(branches: Branches) -> None:
    admin = await branches.here.person("admin", Role.ADMIN)
    ada = await branches.here.person("ada")
    await ada.ask(UpdateProfile(handle="ada-lovelace"))
    await branches.mongo.collection("users").update_one({"_id": ada.user_id}, {"$set": {"email": "ada@example.com"}})
    for wanted in (
        ListAccounts(email="ada@example.com"),
        ListAccounts(handle="ADA-"),
    ):
        assert [one.id for one in (await admin.ask(wanted)).items] == [ada.user_id]
    assert (await admin.ask(ListAccounts(suspended=True))).items == ()
    first = await admin.ask(ListAccounts(limit=1))
    assert len(first.items) == 1
    assert first.next is not None
    assert (await admin.ask(GetAccount(user_id=ada.user_id))).handle == "ada-lovelace"
    assert await raised(ada, ListAccounts()) == "forbidden"
    assert await raised(ada, CreatePrompt(name="Mine")) == "done"
