"""Ledgers of this service's first days get the lots and the documents that sales have now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.billing.store import LedgerSeals
from promptforge.core.mongo import Mongo
from promptforge.deploy.migrations import MIGRATIONS
from tests.integration.billing.bank import Bank, open_bank

pytestmark = [pytest.mark.anyio, pytest.mark.unused_database]
COMPLETION = MIGRATIONS[3]


async def as_in_the_first_days(bank: Bank) -> None:
    """Take away what there was not then, of everything that was posted."""
    legs = bank.collection("transactions")
    await legs.update_many({"account": {"$in": ["pending", "stripe:topups"]}}, {"$set": {"lot": None}})
    await bank.collection("ledger_sales").delete_many({})


async def seal(bank: Bank) -> int:
    """Seal everything, as a job does five minutes later."""
    return await LedgerSeals(bank.process.mongo).seal(datetime.now(UTC) + timedelta(hours=1))


async def test_sales_of_the_first_days_can_be_found_settled_and_refunded(mongo: Mongo) -> None:
    async with open_bank(mongo) as bank:
        buyer, seller = await bank.user(granted=5, purchased=20), await bank.user()
        charges = [await bank.charge(buyer, seller, 5) for _ in range(3)]
        sales = [row async for row in bank.collection("ledger_sales").find({}).sort([("_id", 1)])]
        legs = [row async for row in bank.collection("transactions").find({}).sort([("_id", 1)])]
        await as_in_the_first_days(bank)
        with pytest.raises(ValueError, match="with the lot None"):
            await bank.ledger.find_journal(charges[0].journal_id)
        await COMPLETION.apply(mongo)
        await COMPLETION.apply(mongo)
        assert [row async for row in bank.collection("ledger_sales").find({}).sort([("_id", 1)])] == sales
        assert [row async for row in bank.collection("transactions").find({}).sort([("_id", 1)])] == legs
        assert await bank.ledger.find_journal(charges[0].journal_id) is not None
        purchase_id = charges[1].journal_id.removeprefix("purchase:")
        assert await bank.refund(purchase_id)
        assert (await bank.verify()).ok


async def test_seals_over_what_was_completed_are_made_anew(mongo: Mongo) -> None:
    async with open_bank(mongo) as bank:
        buyer, seller = await bank.user(purchased=20), await bank.user()
        await bank.charge(buyer, seller, 5)
        await as_in_the_first_days(bank)
        await seal(bank)
        await COMPLETION.apply(mongo)
        assert (await bank.verify()).ok
        assert await seal(bank) > 0
        assert (await bank.verify()).ok


async def test_a_ledger_of_today_keeps_its_seals(mongo: Mongo) -> None:
    async with open_bank(mongo) as bank:
        await bank.charge(await bank.user(purchased=20), await bank.user(), 5)
        await seal(bank)
        before = await bank.collection("ledger_checkpoints").find_one({})
        await COMPLETION.apply(mongo)
        assert before is not None
        assert await bank.collection("ledger_checkpoints").find_one({}) == before
