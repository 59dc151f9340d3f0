"""People are told when credits are taken back, given back, frozen or owed: in that very transaction, and once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.billing.ledger.messages import (
    CompensateSale,
    FreezeTopup,
    SettleSeller,
    TakeBackTopup,
    ThawTopup,
)
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.core.jobs import Backoff
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, Interrupted, amounts, open_bank
from tests.integration.billing.shop import Shop, open_shop
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(Backoff, "seconds", lambda *_: 0.05)
    async with open_shop(mongo) as opened:
        yield opened


def told(bank: Bank, user: str) -> list[tuple[str, str]]:
    """Kind and title, without what one hears when one pays."""
    mine = [notice for notice in bank.notified.told if notice.user_id == user]
    assert len({notice.dedupe_key for notice in mine}) == len(mine)
    return [(notice.kind, notice.title) for notice in mine if notice.kind != "credits.granted"]


async def test_a_refund_and_its_failure_are_told(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    refund = await shop.refund(charge, 200)
    await shop.hear(await shop.told() * 2)
    assert told(shop.bank, user) == [("credits.taken_back", "200 credits were taken back")]
    await shop.till.control(f"/refunds/{refund}/fail")
    await shop.hear(await shop.told())
    assert told(shop.bank, user)[1:] == [("credits.given_back", "200 credits are yours again")]


async def test_a_refund_of_what_was_spent_says_what_is_owed(shop: Shop) -> None:
    user, seller = await shop.bank.user(), await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.hear(await shop.told())
    await shop.bank.charge(user, seller, 400)
    await shop.refund(charge, 500)
    await shop.hear(await shop.told())
    assert told(shop.bank, user) == [("credits.taken_back", "500 credits were taken back")]
    (notice,) = [one for one in shop.bank.notified.told if one.kind == "credits.taken_back"]
    assert "400 credits had been spent, and you owe them" in notice.body


async def test_a_dispute_is_told_when_it_freezes_takes_and_gives_back(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.hear(await shop.told())
    dispute = await shop.dispute(charge)
    await shop.hear(await shop.told() * 2)
    assert told(shop.bank, user) == [
        ("credits.frozen", "500 credits are frozen"),
        ("credits.taken_back", "500 credits were taken back"),
    ]
    await shop.till.control(f"/disputes/{dispute}", {"outcome": "won"})
    await shop.hear(await shop.told())
    assert told(shop.bank, user)[2:] == [
        ("credits.given_back", "500 credits are yours again"),
        ("credits.thawed", "500 credits can be spent again"),
    ]


async def test_a_seller_who_has_cashed_out_is_told_what_a_refund_makes_them_owe(mongo: Mongo) -> None:
    clock = SteppedClock()
    async with open_bank(mongo, clock=clock, running=False) as bank:
        buyer, seller = await bank.user(purchased=100), await bank.user()
        await bank.charge(buyer, seller, 100, "pur_a")
        clock.advance(days=31)
        await bank.context().ask(SettleSeller(seller_id=seller))
        await bank.charge(seller, await bank.user(), 80)
        await bank.refund("pur_a")
        await bank.process.runner.drain()
        assert told(bank, seller) == [("credits.owed", "You owe 80 credits")]


async def test_a_seller_is_told_what_they_owe_once_a_compensation_goes_back(mongo: Mongo) -> None:
    """The payment behind it is lost, and another reversal has taken most of what was pending of it."""
    clock = SteppedClock()
    async with open_bank(mongo, clock=clock, running=False) as bank:
        buyer, other, seller = await bank.user(), await bank.user(purchased=80), await bank.user()
        topup = await bank.top_up(buyer, 100)
        await bank.charge(buyer, seller, 100, "pur_a")
        await bank.charge(other, seller, 80, "pur_b")
        clock.advance(days=31)
        await bank.context().ask(SettleSeller(seller_id=seller))
        await bank.refund("pur_a")
        await bank.charge(seller, await bank.user(), 68)
        await bank.context().ask(FreezeTopup(topup_id=topup, dispute_id="dp_1"))
        await bank.context().ask(CompensateSale(purchase_id="pur_a", reason="the refund was a mistake"))
        await bank.refund("pur_b")
        assert amounts(await bank.credits(seller)) == {"pending": "17"}
        lost = TakeBackTopup(
            topup_id=topup, claim_id="dp_1", kind=ClaimKind.DISPUTE, amount=1, captured=1, undo_sales=True
        )
        await bank.context().ask(lost)
        await bank.context().ask(ThawTopup(topup_id=topup, dispute_id="dp_1"))
        clock.advance(days=31)
        await bank.context().ask(SettleSeller(seller_id=seller))
        await bank.process.runner.drain()
        assert amounts(await bank.credits(seller)) == {"debt": "68"}
        assert told(bank, seller) == [("credits.owed", "You owe 68 credits")]
        assert (await bank.verify()).violations == ()


async def test_what_is_not_committed_is_not_told(mongo: Mongo) -> None:
    async with open_bank(mongo, clock=SteppedClock(), running=False) as bank:
        user = await bank.user()
        topup = await bank.top_up(user, 10)
        order = TakeBackTopup(topup_id=topup, claim_id="re_1", kind=ClaimKind.REFUND, amount=1, captured=1)
        bank.transactions.interrupt_next = True
        with pytest.raises(Interrupted):
            await bank.context().ask(order)
        await bank.process.runner.drain()
        assert told(bank, user) == []
        await bank.context().ask(order)
        await bank.context().ask(order)
        await bank.process.runner.drain()
        assert told(bank, user) == [("credits.taken_back", "10 credits were taken back")]
