"""Each kind of corruption, made on purpose, is found by name; and nothing is found where nothing is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from promptforge.actors.billing.ledger.messages import FreezeTopup
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, open_bank

pytestmark = pytest.mark.anyio


@pytest.fixture
async def books(mongo: Mongo) -> AsyncIterator[Bank]:
    """A bank with a history: usr_0001 bought from usr_0002 once, paying with two funds."""
    async with open_bank(mongo) as bank:
        buyer, seller = await bank.user(granted=5, purchased=20), await bank.user()
        await bank.charge(buyer, seller, 12, "pur_a")
        assert (await bank.verify()).ok
        yield bank


async def test_an_edited_leg_is_found(books: Bank) -> None:
    leg = {"account": "platform:fees"}
    await books.collection("transactions").update_one(leg, {"$inc": {"amount": 1}})
    report = await books.verify()
    (violation,) = report.violations
    assert (violation.rule, violation.subject) == ("unbalanced_journal", "purchase:pur_a")
    assert not report.ok


async def test_two_edited_legs_that_still_balance_are_found_in_the_balance(books: Bank) -> None:
    legs = books.collection("transactions")
    await legs.update_one({"journal_id": "topup:cs_usr_0001", "user_id": "usr_0001"}, {"$inc": {"amount": 1}})
    await legs.update_one({"journal_id": "topup:cs_usr_0001", "user_id": None}, {"$inc": {"amount": -1}})
    assert await books.rules_broken() == {"balance", "lot", "unpaid"}


async def test_a_deleted_leg_is_found(books: Bank) -> None:
    await books.collection("transactions").delete_one({"user_id": "usr_0002", "source": "granted"})
    assert await books.rules_broken() == {"unbalanced_journal", "leg_count", "sale"}


async def test_all_legs_of_a_journal_deleted_are_found(books: Bank) -> None:
    await books.collection("transactions").delete_many({"journal_id": "purchase:pur_a"})
    assert "leg_count" in await books.rules_broken()


async def test_a_leg_that_is_no_integer_is_found(books: Bank) -> None:
    await books.collection("transactions").update_one({"account": "platform:fees"}, {"$set": {"amount": 1800.5}})
    assert "bad_leg" in await books.rules_broken()


async def test_a_deleted_journal_is_found(books: Bank) -> None:
    await books.collection("ledger_journals").delete_one({"_id": "topup:cs_usr_0001"})
    found = {(one.rule, one.subject) for one in (await books.verify()).violations}
    key = "topup:cs_usr_0001"
    assert found == {("orphan_leg", key), ("paid_without_journal", key)}


async def test_a_leg_without_a_journal_is_found(books: Bank) -> None:
    await books.collection("transactions").update_one({"account": "platform:fees"}, {"$unset": {"journal_id": ""}})
    assert "orphan_leg" in await books.rules_broken()


@pytest.mark.parametrize("account", ["purchased", "earned", "reserved", "debt", "pending"])
async def test_a_changed_balance_is_found(books: Bank, account: str) -> None:
    more = {f"credits.{account}": -1 if account == "debt" else 1}
    await books.collection("users").update_one({"_id": "usr_0001"}, {"$inc": more})
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.subject) == ("balance", "usr_0001")
    assert account in violation.detail


async def test_a_balance_below_zero_is_found(books: Bank) -> None:
    await books.collection("users").update_one({"_id": "usr_0001"}, {"$set": {"credits.earned": -1}})
    assert await books.rules_broken() == {"balance", "negative"}


async def test_a_changed_lot_is_found(books: Bank) -> None:
    await books.collection("users").update_one({"_id": "usr_0001"}, {"$inc": {"credits.lots.0.remaining": 1}})
    assert await books.rules_broken() == {"lot"}


async def test_a_lot_that_is_frozen_for_nothing_is_found(books: Bank) -> None:
    lots = {"$set": {"credits.lots.0.frozen": True}}
    await books.collection("users").update_one({"_id": "usr_0001"}, lots)
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.subject) == ("frozen", "usr_0001")
    assert violation.detail == "topup:cs_usr_0001 is frozen, and its payment is not"


async def test_a_lot_that_is_not_frozen_with_its_payment_is_found(books: Bank) -> None:
    topup = "topup:cs_usr_0001"
    await books.context().ask(FreezeTopup(topup_id=topup, dispute_id="dp_1"))
    assert await books.rules_broken() == set()
    await books.collection("users").update_one({"_id": "usr_0001"}, {"$unset": {"credits.lots.0.frozen": ""}})
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.detail) == ("frozen", f"{topup} is not frozen, and its payment is")


async def test_legs_of_nobody_are_found(books: Bank) -> None:
    await books.collection("users").delete_one({"_id": "usr_0002"})
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.subject) == ("unknown_user", "usr_0002")


async def test_a_purchase_that_was_never_charged_is_found(books: Bank) -> None:
    await books.collection("purchases").insert_one({"_id": "pur_b"})
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.subject) == ("purchase_without_journal", "pur_b")


async def test_a_charge_without_a_purchase_is_found(books: Bank) -> None:
    await books.collection("purchases").delete_one({"_id": "pur_a"})
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.subject) == ("journal_without_purchase", "pur_a")


async def test_pending_legs_are_compared_up_to_where_they_were_folded(books: Bank) -> None:
    folded = {"credits.pending": 10_200, "credits.pending_through": datetime.now(UTC) + timedelta(seconds=1)}
    await books.collection("users").update_one({"_id": "usr_0002"}, {"$set": folded})
    assert (await books.verify()).ok
    assert (await books.credits("usr_0002")).pending == "10.2"
    await books.collection("users").update_one({"_id": "usr_0002"}, {"$inc": {"credits.pending": 1}})
    assert await books.rules_broken() == {"balance"}


async def test_a_report_counts_every_violation_and_names_the_first_hundred(books: Bank) -> None:
    await books.collection("purchases").insert_many([{"_id": f"pur_x{number:03d}"} for number in range(150)])
    report = await books.verify()
    assert (report.violations_found, len(report.violations), report.purchases) == (150, 100, 151)


async def test_verifying_beside_sales_finds_nothing_wrong(books: Bank) -> None:
    buyers = [await books.user(purchased=20) for _ in range(8)]

    async def buy(buyer: str) -> None:
        for _ in range(8):
            await books.charge(buyer, "usr_0002", 1)

    async with anyio.create_task_group() as tasks:
        for buyer in buyers:
            tasks.start_soon(buy, buyer)
        reports = [await books.verify() for _ in range(6)]
    assert [report.violations for report in reports] == [()] * 6
    assert (await books.verify()).purchases == 65
