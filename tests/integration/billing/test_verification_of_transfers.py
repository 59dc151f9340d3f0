"""A payout and the transfer that it was sent by, told differently by the payout and by what moved at Stripe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.money.domain import Movement
from promptforge.actors.billing.money.store import MoneyStore
from promptforge.actors.billing.store import INDEXES
from promptforge.actors.billing.verification.findings import Findings
from promptforge.actors.billing.verification.transfers import verify_transfers
from promptforge.core.mongo import Mongo
from tests.support.mongo import with_indexes

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
LONG_AGO, JUST_NOW = NOW - timedelta(days=9), NOW - timedelta(hours=1)


@pytest.fixture
async def books(mongo: Mongo) -> Mongo:
    """Posted until now; of two payouts that were sent, the younger one's money is not posted yet."""
    await with_indexes(mongo, INDEXES)
    await sent(mongo, "tr_1", LONG_AGO)
    await moved(mongo, "tr_1", LONG_AGO)
    await sent(mongo, "tr_2", JUST_NOW)
    await MoneyStore(mongo).put_sweep(int(NOW.timestamp()), None, livemode=True)
    return mongo


async def sent(mongo: Mongo, transfer: str, at: datetime, money: int = 50) -> None:
    payout = {"transfer_id": transfer, "transferred_at": at, "money": money, "currency": "usd"}
    await mongo.collection("payouts").insert_one({"_id": f"pay_{transfer}", **payout})


async def moved(
    mongo: Mongo, transfer: str, at: datetime, amount: int = -50, *, currency: str = "usd", movement: str = "txn"
) -> None:
    created = int(at.timestamp())
    made = Movement(f"{movement}_{transfer}", currency, amount, 0, amount, "transfer", transfer, created)
    await MoneyStore(mongo).post([made], livemode=True, now=at)


async def found(mongo: Mongo) -> list[tuple[str, str]]:
    findings = Findings()
    await verify_transfers(LedgerAudit(mongo), findings, now=NOW)
    return [(one.rule, one.subject) for one in findings.named]


async def test_what_agrees_and_what_is_under_way_is_in_order(books: Mongo) -> None:
    await moved(books, "tr_3", JUST_NOW)
    assert await found(books) == []


async def test_a_payout_whose_money_never_moved_is_found(books: Mongo) -> None:
    await books.collection("money_journals").delete_many({})
    assert await found(books) == [("transfer", "tr_1")]


async def test_money_that_was_transferred_for_no_payout_is_found(books: Mongo) -> None:
    await moved(books, "tr_9", LONG_AGO)
    assert await found(books) == [("transfer", "tr_9")]


async def test_a_transfer_that_was_made_by_hand_is_in_order(books: Mongo) -> None:
    await moved(books, "tr_9", LONG_AGO)
    event = {"event_id": "evt_1", "state": "ignored", "payload": {"data": {"object": {"id": "tr_9"}}}}
    await books.collection("webhook_events").insert_one(event)
    assert await found(books) == []


@pytest.mark.parametrize(("amount", "currency"), [(-51, "usd"), (-50, "eur"), (50, "usd")])
async def test_other_money_than_was_paid_out_is_found(books: Mongo, amount: int, currency: str) -> None:
    await books.collection("money_journals").delete_many({})
    await moved(books, "tr_1", LONG_AGO, amount, currency=currency)
    assert await found(books) == [("transfer", "tr_1")]


async def test_a_transfer_that_has_moved_money_twice_is_found(books: Mongo) -> None:
    await moved(books, "tr_1", LONG_AGO, movement="txn_again")
    assert await found(books) == [("transfer", "tr_1")]


async def test_where_no_money_is_posted_nothing_is_compared(books: Mongo) -> None:
    await books.collection("money_sweeps").delete_many({})
    await books.collection("money_journals").delete_many({})
    assert await found(books) == []
