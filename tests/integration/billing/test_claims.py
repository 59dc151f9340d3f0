"""Refunds and disputes at a Stripe (the sandbox, through the SDK) take credits back, and give them back, once."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from promptforge.actors.billing.events.claims import DisputeEvents
from promptforge.actors.billing.events.domain import Outcome
from promptforge.actors.billing.messages import CheckoutView, WebhookEventState
from promptforge.actors.billing.store import DisputeStore
from promptforge.actors.billing.stripe.claims import StripeClaims
from promptforge.core.context import Context
from promptforge.core.jobs import Backoff
from promptforge.core.mongo import Mongo
from promptforge.http.webhooks import event_from
from tests.integration.billing.bank import Bank, amounts, open_bank
from tests.support.stripe_sandbox import Till, open_till, stripe_api

pytestmark = pytest.mark.anyio

Events = list[dict[str, Any]]  # Any: JSON


@dataclass(slots=True)
class Shop:
    """A bank whose Stripe is a sandbox; its events come when a test hands them over."""

    bank: Bank
    till: Till

    async def buy(self, user: str, **how: Any) -> tuple[CheckoutView, str]:
        """Buy the smallest pack; the checkout and its charge."""
        checkout = await self.bank.checkout(user)
        await self.till.control(f"/checkout/{checkout.session_id}/pay", how)
        assert checkout.session_id is not None
        session = await self.till.client.v1.checkout.sessions.retrieve_async(checkout.session_id)
        intent = await self.till.client.v1.payment_intents.retrieve_async(str(session.payment_intent))
        return checkout, str(intent.latest_charge)

    async def told(self) -> Events:
        """All events so far, in the order in which they came."""
        await self.till.quiet()
        return list(self.till.received.events)

    async def hear(self, events: Events) -> None:
        for event in events:
            await self.bank.record(event_from(json.dumps(event).encode()))
        await self.bank.until_quiet()

    async def refund(self, charge: str, amount: int, **more: Any) -> str:
        params: Any = {"charge": charge, "amount": amount, **more}
        return (await self.till.client.v1.refunds.create_async(params)).id

    async def dispute(self, charge: str, **how: Any) -> str:
        opened: str = (await self.till.control("/disputes", {"charge": charge, **how}))["id"]
        return opened

    async def read(self, dispute: str) -> Callable[[Context], Awaitable[Outcome]]:
        """What another process has read of a dispute, and not applied yet."""
        async with stripe_api(self.till.sandbox.url) as api:
            effect = await DisputeEvents(StripeClaims(api), DisputeStore(self.bank.process.mongo)).of_dispute(dispute)
        assert not isinstance(effect, Outcome)
        return effect

    async def states(self) -> set[str]:
        rows = await self.bank.collection("webhook_events").find({}).to_list(None)
        return {row["state"] for row in rows}


@asynccontextmanager
async def open_shop(mongo: Mongo) -> AsyncIterator[Shop]:
    async with open_till() as till, stripe_api(till.sandbox.url) as api, open_bank(mongo, api=api) as bank:
        yield Shop(bank, till)


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
