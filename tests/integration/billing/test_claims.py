"""Refunds and disputes at a Stripe (the sandbox, through the SDK) take credits back, and give them back, once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from promptforge.actors.billing.messages import WebhookEventState
from promptforge.core.jobs import Backoff
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import amounts
from tests.integration.billing.shop import Shop, open_shop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(Backoff, "seconds", lambda *_: 0.05)
    async with open_shop(mongo) as opened:
        yield opened


async def test_a_refund_takes_its_part_once_however_often_it_is_told(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 200)
    await shop.hear(await shop.told() * 3)
    assert amounts(await shop.bank.credits(user)) == {"purchased": "300"}
    await shop.refund(charge, 300)
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}
    assert await shop.states() <= {"processed", "ignored"}
    assert (await shop.bank.verify()).ok


async def test_a_refund_whose_event_never_came_is_found_by_the_charges(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 100)
    await shop.refund(charge, 100)
    await shop.hear([event for event in await shop.told() if not event["type"].startswith("refund.")])
    assert amounts(await shop.bank.credits(user)) == {"purchased": "300"}


async def test_a_refund_after_the_credits_were_spent_is_a_debt(shop: Shop) -> None:
    user, seller = await shop.bank.user(), await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.hear(await shop.told())
    await shop.bank.charge(user, seller, 400)
    await shop.refund(charge, 500)
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"debt": "400"}
    assert (await shop.bank.verify()).ok


async def test_a_refund_that_fails_later_gives_back(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    refund = await shop.refund(charge, 500)
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}
    await shop.till.control(f"/refunds/{refund}/fail")
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"purchased": "500"}
    assert (await shop.bank.verify()).ok


async def test_a_refund_that_is_heard_of_before_the_payment_waits_for_it(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 100)
    await shop.hear(list(reversed(await shop.told())))
    assert amounts(await shop.bank.credits(user)) == {"purchased": "400"}


async def test_an_inquiry_moves_nothing(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    dispute = await shop.dispute(charge, inquiry=True)
    await shop.hear(await shop.told())
    view = await shop.bank.credits(user)
    assert (view.purchased, view.frozen) == ("500", "0")
    await shop.till.control(f"/disputes/{dispute}", {"outcome": "escalated"})
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}


@pytest.mark.parametrize(("outcome", "left"), [("won", {"purchased": "500"}), ("lost", {})])
async def test_a_dispute_takes_the_credits_and_gives_them_back_once_where_it_is_won(
    shop: Shop, outcome: str, left: dict[str, str]
) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    dispute = await shop.dispute(charge)
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}
    await shop.till.control(f"/disputes/{dispute}", {"outcome": outcome})
    await shop.hear(await shop.told() * 2)
    view = await shop.bank.credits(user)
    assert (amounts(view), view.frozen) == (left, "0")
    assert (await shop.bank.verify()).ok


async def test_a_refund_and_a_dispute_of_one_charge_never_take_twice(shop: Shop) -> None:
    user = await shop.bank.user(purchased=1000)
    _, charge = await shop.buy(user)
    await shop.refund(charge, 300)
    await shop.dispute(charge, amount=500)  # of the whole charge, though part of it was refunded
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"purchased": "1000"}
    assert await shop.bank.balance_of("platform:losses") == -300_000
    assert (await shop.bank.verify()).ok


async def test_news_read_before_a_dispute_was_closed_do_not_freeze_it_again(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    dispute = await shop.dispute(charge)
    await shop.hear(await shop.told())
    read_before = await shop.read(dispute)
    await shop.till.control(f"/disputes/{dispute}", {"outcome": "won"})
    await shop.hear(await shop.told())
    await shop.bank.context().transaction(read_before)
    view = await shop.bank.credits(user)
    assert (view.purchased, view.frozen) == ("500", "0")


@pytest.mark.parametrize("seed", range(6))
async def test_in_whatever_order_and_how_often_the_end_is_the_same(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    first = await shop.refund(charge, 120)
    await shop.refund(charge, 80)
    await shop.till.control(f"/refunds/{first}/fail")
    dispute = await shop.dispute(charge, amount=100)
    await shop.till.control(f"/disputes/{dispute}", {"outcome": "won"})
    events = await shop.told()
    heard = events + chance.choices(events, k=len(events))
    chance.shuffle(heard)
    await shop.hear(heard)
    view = await shop.bank.credits(user)
    assert (amounts(view), view.frozen) == ({"purchased": "420"}, "0")
    assert await shop.states() <= {WebhookEventState.PROCESSED, WebhookEventState.IGNORED}
    assert (await shop.bank.verify()).ok


async def test_a_stripe_that_fails_for_a_while_only_delays(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 500)
    for kind in ("disconnect", "rate_limit"):  # the first is tried again at once, the other one later
        await shop.till.control("/faults", {"operation": "refunds.retrieve", "kind": kind})
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}
    assert await shop.states() <= {"processed", "ignored"}
