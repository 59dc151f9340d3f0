"""Payments for packs that come to nothing, as Stripe tells of them: nobody gets credits, and the checkout says why."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.billing.messages import CheckoutView, GetCheckout
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import amounts
from tests.integration.billing.shop import Shop, open_shop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(mongo: Mongo) -> AsyncIterator[Shop]:
    async with open_shop(mongo) as opened:
        yield opened


async def state(shop: Shop, user: str, checkout: CheckoutView) -> str:
    return (await shop.bank.context(user).ask(GetCheckout(checkout_id=checkout.id))).state


async def heard(shop: Shop, kind: str) -> None:
    """All that was told by now, of which this has to be one."""
    events = await shop.told()
    assert kind in {event["type"] for event in events}
    await shop.hear(events)
    assert await shop.states() <= {"processed", "ignored"}


async def test_a_payment_that_was_to_settle_and_failed_brings_nothing(shop: Shop) -> None:
    user = await shop.bank.user()
    checkout, _ = await shop.buy(user, outcome="delayed")
    await heard(shop, "checkout.session.completed")
    assert (await state(shop, user, checkout), amounts(await shop.bank.credits(user))) == ("processing", {})
    await shop.till.control(f"/checkout/{checkout.session_id}/settle", {"succeeds": False})
    await heard(shop, "checkout.session.async_payment_failed")
    assert (await state(shop, user, checkout), amounts(await shop.bank.credits(user))) == ("failed", {})


async def test_a_page_that_has_passed_is_expired(shop: Shop) -> None:
    user = await shop.bank.user()
    checkout = await shop.bank.checkout(user)
    assert checkout.session_id is not None
    await shop.till.client.v1.checkout.sessions.expire_async(checkout.session_id)
    await heard(shop, "checkout.session.expired")
    assert (await state(shop, user, checkout), amounts(await shop.bank.credits(user))) == ("expired", {})


async def test_a_declined_card_leaves_the_page_open_and_another_one_pays(shop: Shop) -> None:
    user = await shop.bank.user()
    checkout = await shop.bank.checkout(user)
    await shop.till.control(f"/checkout/{checkout.session_id}/pay", {"outcome": "declined"})
    await heard(shop, "payment_intent.payment_failed")
    assert (await state(shop, user, checkout), amounts(await shop.bank.credits(user))) == ("open", {})
    await shop.till.control(f"/checkout/{checkout.session_id}/pay")
    await heard(shop, "checkout.session.completed")
    assert (await state(shop, user, checkout), amounts(await shop.bank.credits(user))) == ("paid", {"purchased": "500"})
