"""Verification of a ledger that one command looks through for minutes, and to which is written meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.billing.ledger import audit
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.opening.domain import MARK
from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.billing.verification import verify, verify_ledger
from promptforge.core.mongo import Document, EmbeddedMongod, Mongo
from tests.integration.billing.bank import Bank, open_bank

pytestmark = pytest.mark.anyio
AUDIT = "promptforge.actors.billing.ledger"
SLOW: Document = {"$function": {"body": "function() { sleep(800); return true }", "args": [], "lang": "js"}}
"""Of every leg that it is asked of."""


@pytest.fixture
async def books(mongo: Mongo) -> AsyncIterator[Bank]:
    async with open_bank(mongo) as bank:
        await bank.user(granted=5)
        yield bank


@pytest.fixture
async def hasty(
    books: Bank, mongod: EmbeddedMongod, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Mongo]:
    """A client that waits a second and a half for an answer, of a database with two legs."""
    monkeypatch.setattr("promptforge.core.mongo.client.SOCKET_SECONDS", 1.5)
    client = await Mongo.connect(mongod.url, mongo.name)
    yield client
    client.close()


async def test_commands_over_all_legs_have_the_time_that_they_take(
    books: Bank, hasty: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows of the service before are looked at by each of them."""
    made_at = datetime.now(UTC) - timedelta(days=400)
    rows = [{MARK: {"user_id": None}, "amount": amount, "created_at": made_at} for amount in (5, 7)]
    await books.collection("transactions").insert_many(rows)
    monkeypatch.setattr(f"{AUDIT}.audit._BARE", {"$and": [SLOW, audit._BARE]})
    assert (await verify_ledger(hasty)).violations == ()


async def test_so_has_adding_up_the_legs_of_one_account(
    books: Bank, hasty: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    await books.collection("users").update_one({"_id": "usr_0001"}, {"$inc": {"credits.granted": 1}})
    await books.collection("transactions").update_many({}, {"$set": {"user_id": "usr_0001"}})
    monkeypatch.setattr(f"{AUDIT}.accounts._IS_AMOUNT", SLOW)
    (balance,) = [one for one in (await verify_ledger(hasty)).violations if one.rule == "balance"]
    assert balance.detail == "granted is stored as 5.001 and its legs sum to 5"


async def test_what_is_being_written_as_all_is_added_up_is_left_out_however_long_ago_verification_began(
    books: Bank, mongo: Mongo
) -> None:
    """Half of a journal is seen, ten minutes after the beginning."""
    began = datetime.now(UTC)
    times = iter([began])
    written = began + timedelta(minutes=10)
    leg = {"_id": "late#000", "journal_id": "late", "user_id": None, "account": "platform:fees", "amount": 7}
    await books.collection("transactions").insert_one({**leg, "created_at": written})
    report = await verify(LedgerAudit(mongo), LedgerSeals(mongo), now=lambda: next(times, written))
    assert {one.rule for one in report.violations} == {"orphan_leg"}


class SeesHalfOfOne(LedgerAudit):
    """As a journal is committed, the first sum has the half of it."""

    seen = 0

    async def sum_of_legs(self, *, since: datetime, until: datetime) -> float:
        self.seen += 1
        return 7 if self.seen == 1 else await super().sum_of_legs(since=since, until=until)


async def test_a_sum_that_is_not_zero_is_added_up_again(books: Bank, mongo: Mongo) -> None:
    halved = SeesHalfOfOne(mongo)
    report = await verify(halved, LedgerSeals(mongo), now=lambda: datetime.now(UTC))
    assert (report.violations, halved.seen) == ((), 2)
    row = {"journal_id": None, "amount": 7, "created_at": datetime.now(UTC) - timedelta(hours=1)}
    await books.collection("transactions").insert_one(row)
    assert "total" in await books.rules_broken(), "one that stays is told"
