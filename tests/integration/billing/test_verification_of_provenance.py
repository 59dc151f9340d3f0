"""A gift that was made money with every sum and balance made to fit is found by name, beside honest payouts as well."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.billing.ledger.messages import (
    BeginPayoutTransfer,
    CloseRun,
    FinalisePayout,
    ReservePayout,
    ReserveRun,
    RunShare,
    SettleSeller,
)
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, open_bank
from tests.integration.billing.forging import Forged, forge, found
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio
BUYER, SELLER, GIFTED = "usr_0001", "usr_0002", "usr_0003"


@pytest.fixture
async def books(mongo: Mongo) -> AsyncIterator[Bank]:
    """The seller has earned 85 and was paid 50 of it; another sale, and the share of a run, were paid with gifts."""
    clock = SteppedClock()
    async with open_bank(mongo, clock=clock, running=False) as bank:
        await bank.user(purchased=200)
        await bank.user()
        await bank.user(granted=100)
        await bank.charge(BUYER, SELLER, 100, "pur_settled")
        clock.advance(days=31)
        await bank.context().ask(SettleSeller(seller_id=SELLER))
        await bank.context().ask(ReservePayout(payout_id="po_1", user_id=SELLER, amount_millicredits=50_000))
        await bank.context().ask(BeginPayoutTransfer(payout_id="po_1"))
        await bank.context().ask(FinalisePayout(payout_id="po_1"))
        await bank.told_of_payouts()
        await bank.charge(GIFTED, SELLER, 20, "pur_given")
        await bank.give(BUYER, 10)
        await bank.charge(BUYER, SELLER, 40, "pur_mixed")
        await bank.context().ask(ReserveRun(run_id="run_1", user_id=GIFTED, amount_millicredits=10_000))
        await bank.context().ask(CloseRun(run_id="run_1", charge_millicredits=500, share=RunShare(SELLER, 2_000)))
        assert (await bank.verify()).violations == ()
        yield bank


@pytest.mark.parametrize(
    ("key", "kind", "source"),
    [
        ("grant:forged", "grant", "platform:grants"),
        ("topup:forged", "topup", "platform:grants"),
        ("expire:forged", "expiry", "platform:grants"),
        ("settle:forged", "settlement", "platform:grants"),
        ("collect:forged", "commission_collect", "platform:fees"),
        ("payout:po_2:release", "payout_release", "platform:fees"),
        ("refund:re_1:failed", "topup_refund_failed", "platform:losses"),
        ("imagined:forged", "imagined", "platform:grants"),
    ],
)
async def test_forged_earnings_are_found_beside_an_honest_payout(books: Bank, key: str, kind: str, source: str) -> None:
    await forge(books, key, kind, [Forged(source, -40_000), Forged("earned", 40_000, SELLER)])
    assert ("unearned", key) in await found(books)


async def test_a_payout_that_was_sent_and_given_back_is_found(books: Bank) -> None:
    back = [Forged("stripe:payouts", -50_000), Forged("earned", 50_000, SELLER)]
    await forge(books, "payout:po_1:release", "payout_release", back, payout_id="po_1")
    assert await found(books) == {("payout", "po_1")}
    await books.collection("ledger_payouts").update_one({"_id": "po_1"}, {"$set": {"state": "released"}})
    assert await found(books) == {("payout", "po_1")}
    await books.collection("payouts").update_one({"_id": "po_1"}, {"$set": {"state": "cancelled"}})
    assert await found(books) == {("payout", "po_1")}
    await books.collection("payouts").update_one({"_id": "po_1"}, {"$set": {"state": "reversed"}})
    assert await found(books) == {("payout", "po_1")}, "nothing of the transfer was reversed"


async def test_a_release_under_another_key_is_found(books: Bank) -> None:
    back = [Forged("stripe:payouts", -50_000), Forged("earned", 50_000, SELLER)]
    await forge(books, "given:po_1", "payout_release", back, payout_id="po_1")
    assert await found(books) == {("unearned", "given:po_1")}


async def test_a_part_that_came_back_of_no_reversal_is_found(books: Bank) -> None:
    back = [Forged("stripe:payouts", -10_000), Forged("earned", 10_000, SELLER)]
    await forge(books, "payout:po_1:returned:10000", "payout_release", back, payout_id="po_1")
    await books.collection("ledger_payouts").update_one({"_id": "po_1"}, {"$set": {"returned": 10_000}})
    assert await found(books) == {("payout", "po_1")}


async def test_a_lost_final_journal_is_found(books: Bank) -> None:
    """With what it took out of `reserved` back there, so that every balance fits."""
    await books.collection("ledger_journals").delete_one({"_id": "payout:po_1:final"})
    await books.collection("transactions").delete_many({"journal_id": "payout:po_1:final"})
    await books.collection("users").update_one({"_id": SELLER}, {"$inc": {"credits.reserved": 50_000}})
    assert await found(books) == {("payout", "po_1")}


@pytest.mark.parametrize("gone", ["payouts", "ledger_payouts"])
async def test_a_reserve_without_a_payout_is_found(books: Bank, gone: str) -> None:
    await books.collection(gone).delete_one({"_id": "po_1"})
    assert await found(books) == {("payout", "po_1")}


async def test_a_payout_without_a_reserve_is_found(books: Bank) -> None:
    row = {"_id": "po_9", "user_id": SELLER, "state": "sent", "amount": 1000, "money": 1, "reversed_money": 0}
    await books.collection("payouts").insert_one(row)
    assert await found(books) == {("payout", "po_9")}


@pytest.mark.parametrize("sale", ["purchase:pur_given", "purchase:pur_mixed", "run:run_1:close"])
async def test_a_sale_paid_with_gifts_that_was_made_payable_is_found(books: Bank, sale: str) -> None:
    """Also of one that was paid with both, where the fee on the bought part would hide what the gifts add."""
    legs, sales = books.collection("transactions"), books.collection("ledger_sales")
    changed = await legs.update_many({"lot": sale, "account": "pending"}, {"$set": {"source": "purchased"}})
    assert changed.modified_count
    row = await sales.find_one({"_id": sale})
    assert row is not None
    await sales.update_one({"_id": sale}, {"$set": {"payable": row["payable"] + row["granted"], "granted": 0}})
    assert await found(books) == {("unearned", sale)}


async def test_a_refund_that_gives_gifts_back_as_bought_credits_is_found(books: Bank) -> None:
    await books.refund("pur_given")
    assert await found(books) == set()
    key = "purchase:pur_given:refund"
    bought = {"$set": {"account": "purchased"}}
    await books.collection("transactions").update_one({"journal_id": key, "account": "granted"}, bought)
    assert ("unearned", key) in await found(books)


async def test_a_hold_of_gifts_that_is_released_as_earnings_is_found(books: Bank) -> None:
    await books.context().ask(ReserveRun(run_id="run_2", user_id=GIFTED, amount_millicredits=5_000))
    await books.context().ask(CloseRun(run_id="run_2", charge_millicredits=0))
    assert await found(books) == set()
    legs, key = books.collection("transactions"), "run:run_2:close"
    await legs.update_one({"journal_id": key, "account": "reserved"}, {"$set": {"source": "earned"}})
    await legs.update_one({"journal_id": key, "account": "granted"}, {"$set": {"account": "earned", "lot": None}})
    assert ("unearned", key) in await found(books)


async def test_a_sale_between_linked_accounts_that_settles_as_earnings_is_found(books: Bank) -> None:
    linked = {"$set": {"refs.linked": "yes"}}
    await books.collection("ledger_journals").update_one({"_id": "settle:purchase:pur_settled"}, linked)
    assert await found(books) == {("unearned", "settle:purchase:pur_settled")}
