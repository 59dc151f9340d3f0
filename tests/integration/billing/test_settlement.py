"""Settlement: when, what, once, and beside everything else that happens to a seller."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from promptforge.actors.billing.ledger.messages import FreezeTopup, SettleSales, SettleSeller, ThawTopup
from promptforge.actors.billing.ledger.sales.domain import Sale, Terms
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, amounts, open_bank
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def settle(bank: Bank, seller: str) -> int:
    return await bank.context().ask(SettleSeller(seller_id=seller))


async def settlements(bank: Bank) -> list[str]:
    rows = bank.collection("ledger_journals").find({"kind": "settlement"}).sort([("_id", 1)])
    return [row["_id"] for row in await rows.to_list(None)]


async def test_a_new_sellers_sale_settles_after_30_days_by_source(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(granted=4, purchased=10), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    clock.advance(days=29, hours=23)
    assert await settle(bank, seller) == 0
    clock.advance(hours=1)
    assert await settle(bank, seller) == 1
    assert amounts(await bank.credits(seller)) == {"granted": "3.4", "earned": "5.1"}
    assert await settlements(bank) == ["settle:purchase:pur_a"]
    assert await settle(bank, seller) == 0
    assert (await bank.verify()).violations == ()


async def test_an_established_sellers_sale_settles_after_7_days(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=100), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    clock.advance(days=31)
    assert await settle(bank, seller) == 1
    clock.advance(days=60)
    await bank.charge(buyer, seller, 10, "pur_b")
    clock.advance(days=6)
    assert await settle(bank, seller) == 0
    clock.advance(days=1)
    assert await settle(bank, seller) == 1, "their first settled sale is more than 90 days old"


async def test_a_rolling_reserve_settles_later_under_a_key_of_its_own(mongo: Mongo, clock: SteppedClock) -> None:
    terms = Terms(reserve_bp=1000, reserve_for=timedelta(days=60))
    async with open_bank(mongo, clock=clock, running=False, terms=terms) as bank:
        buyer, seller = await bank.user(purchased=100), await bank.user()
        await bank.charge(buyer, seller, 100, "pur_a")
        clock.advance(days=31)
        assert [await settle(bank, seller) for _ in range(2)] == [1, 0]
        assert amounts(await bank.credits(seller)) == {"earned": "76.5", "pending": "8.5"}
        assert (await bank.verify()).violations == ()
        clock.advance(days=60)
        assert [await settle(bank, seller) for _ in range(2)] == [1, 0]
        assert amounts(await bank.credits(seller)) == {"earned": "85"}
        assert await settlements(bank) == ["settle:purchase:pur_a", "settle:purchase:pur_a:reserve"]
        assert (await bank.verify()).violations == ()


async def test_what_a_disputed_payment_paid_for_waits(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(), await bank.user()
    disputed = await bank.top_up(buyer, 10)
    await bank.charge(buyer, seller, 10, "pur_a")
    await bank.top_up(buyer, 10)
    await bank.charge(buyer, seller, 10, "pur_b")
    await bank.context().ask(FreezeTopup(topup_id=disputed, dispute_id="dp_1"))
    clock.advance(days=31)
    assert await settle(bank, seller) == 1
    assert await settlements(bank) == ["settle:purchase:pur_b"]
    await bank.context().ask(ThawTopup(topup_id=disputed, dispute_id="dp_1"))
    assert await settle(bank, seller) == 1
    assert (await bank.verify()).violations == ()


async def test_the_schedule_finds_every_seller_and_settles_each_in_a_job_of_its_own(
    bank: Bank, clock: SteppedClock
) -> None:
    sellers = [await bank.user() for _ in range(5)]
    for seller in sellers:
        await bank.charge(await bank.user(purchased=10), seller, 10)
    clock.advance(days=31)
    assert await bank.context().ask(SettleSales()) == 5
    await bank.process.runner.drain()
    for seller in sellers:
        assert amounts(await bank.credits(seller)) == {"earned": "8.5"}
    assert await bank.context().ask(SettleSales()) == 0
    assert (await bank.verify()).violations == ()


async def test_many_settlements_of_one_seller_at_once_settle_each_sale_once(bank: Bank, clock: SteppedClock) -> None:
    seller = await bank.user()
    for _ in range(30):
        await bank.charge(await bank.user(purchased=10), seller, 10)
    clock.advance(days=31)
    settled: list[int] = []

    async def job() -> None:
        sales = await bank.sales.list_open(seller, sold_until=clock.now(), after=None, limit=100)
        settled.append(await bank.settle_beside_the_actor(sales))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(job)
    assert sum(settled) == 30
    assert amounts(await bank.credits(seller)) == {"earned": "255"}
    assert (await bank.verify()).violations == ()


async def test_64_sales_beside_a_settlement_of_their_seller_all_succeed(bank: Bank, clock: SteppedClock) -> None:
    seller = await bank.user()
    for _ in range(10):
        await bank.charge(await bank.user(purchased=10), seller, 10)
    buyers = [await bank.user(purchased=10) for _ in range(64)]
    clock.advance(days=31)
    before = bank.transactions.attempts
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settle, bank, seller)
        for buyer in buyers:
            tasks.start_soon(bank.charge, buyer, seller, 10)
    assert bank.transactions.attempts - before <= 64 + 3, "sales and the settlement got in each other's way"
    assert amounts(await bank.credits(seller)) == {"earned": "85", "pending": "544"}
    assert (await bank.verify()).violations == ()


async def test_pending_legs_are_folded_once_they_are_old_enough(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=100), await bank.user()
    for number in range(3):
        await bank.charge(buyer, seller, 10, f"pur_{number}")
    clock.advance(days=31)
    await bank.charge(buyer, seller, 10, "pur_new")
    await settle(bank, seller)
    folded = await bank.ledger.get_holdings(seller)
    assert folded.pending == 25_500, "the sales, and not yet what has settled just now"
    assert amounts(await bank.credits(seller)) == {"earned": "25.5", "pending": "8.5"}
    clock.advance(minutes=6)
    await settle(bank, seller)
    assert (await bank.ledger.get_holdings(seller)).pending == 8_500
    assert amounts(await bank.credits(seller)) == {"earned": "25.5", "pending": "8.5"}
    assert (await bank.verify()).violations == ()


async def test_a_sale_that_was_refunded_does_not_settle(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=100), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    await bank.refund("pur_a")
    clock.advance(days=91)
    sale = await bank.sales.list_open(seller, sold_until=clock.now(), after=None, limit=10)
    assert (sale, await settle(bank, seller)) == ([], 0)
    row = await bank.collection("ledger_sales").find_one({"_id": "purchase:pur_a"})
    assert row is not None
    refunded = Sale("purchase:pur_a", seller, row["sold_at"], 0, 0)
    assert await bank.settle_beside_the_actor([refunded]) == 0, "whoever listed it before the refund finds it reversed"
    assert await settlements(bank) == []
    await bank.charge(buyer, seller, 10, "pur_b")
    clock.advance(days=8)
    assert await settle(bank, seller) == 0, "a sale that was refunded makes nobody an established seller"
