"""Refunds of sales: every part returns to where it came from, before settlement and after it, once."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.billing.ledger.commissions.messages import SettleCommissions
from promptforge.actors.billing.ledger.messages import SettleSeller
from promptforge.actors.billing.messages import ChargePurchase, SaleCommission
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, Interrupted, amounts, open_bank
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def settle(bank: Bank, clock: SteppedClock, seller: str) -> int:
    clock.advance(days=31)
    return await bank.context().ask(SettleSeller(seller_id=seller))


async def test_before_settlement_everything_returns_to_where_it_came_from(bank: Bank) -> None:
    buyer, seller = await bank.user(granted=10, purchased=10), await bank.user()
    lots = (await bank.ledger.get_holdings(buyer)).lots
    await bank.charge(buyer, seller, 12, "pur_a")
    assert await bank.refund("pur_a")
    assert amounts(await bank.credits(buyer)) == {"granted": "10", "purchased": "10"}
    assert (await bank.ledger.get_holdings(buyer)).lots == lots
    assert amounts(await bank.credits(seller)) == {}
    assert await bank.balance_of("platform:fees") == 0
    assert (await bank.verify()).violations == ()


async def test_a_refund_names_the_journal_that_it_takes_back(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=10), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    await bank.refund("pur_a")
    journal = await bank.ledger.find_journal("purchase:pur_a:refund")
    assert journal is not None
    assert journal.reverses == "purchase:pur_a"


async def test_the_same_refund_again_moves_nothing(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=10), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    assert [await bank.refund("pur_a") for _ in range(3)] == [True, False, False]
    assert amounts(await bank.credits(buyer)) == {"purchased": "10"}
    assert (await bank.verify()).ok


async def test_after_settlement_it_is_taken_from_what_the_seller_earned(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(granted=4, purchased=10), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    assert await settle(bank, clock, seller) == 1
    assert amounts(await bank.credits(seller)) == {"granted": "3.4", "earned": "5.1"}
    await bank.refund("pur_a")
    assert amounts(await bank.credits(seller)) == {}
    assert amounts(await bank.credits(buyer)) == {"granted": "4", "purchased": "10"}
    assert (await bank.verify()).violations == ()


async def test_what_the_seller_has_spent_comes_out_of_purchased_credits_and_then_is_a_debt(
    bank: Bank, clock: SteppedClock
) -> None:
    buyer, seller, other = await bank.user(purchased=100), await bank.user(), await bank.user()
    await bank.charge(buyer, seller, 100, "pur_a")
    await settle(bank, clock, seller)
    await bank.charge(seller, other, 70)
    await bank.top_up(seller, 10)
    assert amounts(await bank.credits(seller)) == {"purchased": "10", "earned": "15"}
    await bank.refund("pur_a")
    assert amounts(await bank.credits(seller)) == {"debt": "60"}
    assert amounts(await bank.credits(buyer)) == {"purchased": "100"}
    assert (await bank.verify()).violations == ()


async def test_other_pending_sales_are_taken_before_what_is_earned(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=200), await bank.user()
    await bank.charge(buyer, seller, 100, "pur_a")
    await settle(bank, clock, seller)
    await bank.charge(buyer, seller, 60, "pur_b")
    await bank.refund("pur_a")
    assert amounts(await bank.credits(seller)) == {"earned": "51"}
    assert await settle(bank, clock, seller) == 1, "nothing of it is left, and it is done all the same"
    assert amounts(await bank.credits(seller)) == {"earned": "51"}
    assert (await bank.verify()).violations == ()


async def test_a_debt_is_paid_by_the_next_sale_and_by_no_gift(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller, other = await bank.user(purchased=200), await bank.user(), await bank.user()
    await bank.charge(buyer, seller, 100, "pur_a")
    await settle(bank, clock, seller)
    await bank.charge(seller, other, 85)
    await bank.refund("pur_a")
    assert amounts(await bank.credits(seller)) == {"debt": "85"}
    await bank.give(seller, 50)
    assert amounts(await bank.credits(seller)) == {"granted": "50", "debt": "85"}
    await bank.charge(buyer, seller, 120, "pur_b")
    await settle(bank, clock, seller)
    assert amounts(await bank.credits(seller)) == {"granted": "50", "earned": "17"}
    assert (await bank.verify()).violations == ()


async def test_a_partners_commission_is_given_back_and_what_is_gone_is_a_loss(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=100), await bank.user()
    message = ChargePurchase(
        purchase_id="pur_a",
        buyer_id=buyer,
        seller_id=seller,
        price_millicredits=100_000,
        commission=SaleCommission("ptn_1", 500, "usr_referrer", "code_1"),
    )
    charge = await bank.context().ask(message)
    bought = {"_id": "pur_a", "buyer_id": buyer, "seller_id": seller, "price": 100_000}
    await bank.collection("purchases").insert_one(bought)
    assert (charge.fee_millicredits, charge.seller_millicredits) == (15_000, 85_000)
    assert await bank.balance_of("partner:ptn_1:pending") == 5_000
    await settle(bank, clock, seller)
    await bank.context().ask(SettleCommissions(partner_id="ptn_1"))
    assert (await bank.balance_of("partner:ptn_1:pending"), await bank.balance_of("partner:ptn_1:earned")) == (0, 5_000)
    assert (await bank.verify()).violations == ()
    await bank.refund("pur_a")
    assert await bank.balance_of("partner:ptn_1:earned") == 0
    assert (await bank.verify()).violations == ()


async def test_a_commission_never_exceeds_the_fee_and_comes_of_no_gift(bank: Bank) -> None:
    buyer, seller = await bank.user(granted=10, purchased=10), await bank.user()
    message = ChargePurchase(
        purchase_id="pur_a",
        buyer_id=buyer,
        seller_id=seller,
        price_millicredits=20_000,
        commission=SaleCommission("ptn_1", 10_000, "usr_referrer", "code_1"),
    )
    await bank.context().ask(message)
    assert await bank.balance_of("partner:ptn_1:pending") == 1_500
    assert await bank.balance_of("platform:fees") == 1_500


async def test_a_free_purchase_is_refunded_too(bank: Bank) -> None:
    buyer, seller = await bank.user(), await bank.user()
    await bank.charge(buyer, seller, 0, "pur_a")
    assert await bank.refund("pur_a")
    assert (await bank.verify()).violations == ()


async def test_what_was_never_charged_is_not_refunded(bank: Bank) -> None:
    with pytest.raises(NotFound):
        await bank.refund("pur_none")


async def test_a_refund_that_is_not_committed_has_not_happened(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=10), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    bank.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await bank.refund("pur_a")
    assert amounts(await bank.credits(seller)) == {"pending": "8.5"}
    assert await bank.refund("pur_a")
    assert (await bank.verify()).ok


async def test_of_a_refund_and_a_settlement_at_once_both_hold(mongo: Mongo, clock: SteppedClock) -> None:
    """Whichever comes first: the buyer has everything back, and the seller nothing."""
    async with open_bank(mongo, clock=clock, running=False) as bank:
        buyer, seller = await bank.user(purchased=100), await bank.user()
        for number in range(10):
            await bank.charge(buyer, seller, 10, f"pur_{number}")
        clock.advance(days=31)
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(bank.refund, f"pur_{number}")
            tasks.start_soon(bank.context().ask, SettleSeller(seller_id=seller))
        assert amounts(await bank.credits(buyer)) == {"purchased": "100"}
        assert amounts(await bank.credits(seller)) == {}
        assert (await bank.verify()).violations == ()


async def test_16_refunds_of_one_sale_at_once_are_one(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=10), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    firsts: list[bool] = []

    async def again() -> None:
        firsts.append(await bank.refund("pur_a"))

    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(again)
    assert sorted(firsts) == [False] * 15 + [True]
    assert amounts(await bank.credits(buyer)) == {"purchased": "10"}
    assert (await bank.verify()).ok
