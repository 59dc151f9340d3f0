"""Subscriptions at a Stripe (the sandbox, through the SDK): the credits of a month come with its paid invoice, once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from promptforge.actors.billing.errors import AlreadySubscribed, NotSubscribed
from promptforge.actors.billing.subscriptions.messages import (
    CancelSubscription,
    CreateSubscription,
    GetSubscription,
    ListPlans,
    ListSubscriptions,
    OpenBillingPortal,
    SubscriptionView,
)
from promptforge.core.errors import NotFound
from promptforge.core.jobs import Backoff
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import amounts
from tests.integration.billing.shop import Shop, open_shop
from tests.support.waiving import WAIVED

pytestmark = pytest.mark.anyio

PLAN = "monthly_1000"


@pytest.fixture
async def shop(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(Backoff, "seconds", lambda *_: 0.05)
    async with open_shop(mongo) as opened:
        yield opened


async def begin(shop: Shop, user: str) -> SubscriptionView:
    return await shop.bank.context(user).ask(CreateSubscription(plan_id=PLAN, **WAIVED))


async def subscribe(shop: Shop, user: str) -> tuple[SubscriptionView, str]:
    """A subscription whose first month is paid, and Stripe's id of it."""
    began = await begin(shop, user)
    row = await shop.bank.collection("subscriptions").find_one({"_id": began.id})
    assert row is not None
    await shop.till.control(f"/checkout/{row['session_id']}/pay")
    await shop.hear(await shop.told())
    row = await shop.bank.collection("subscriptions").find_one({"_id": began.id})
    assert row is not None
    return await look(shop, user, began), row["stripe_id"]


async def look(shop: Shop, user: str, subscription: SubscriptionView) -> SubscriptionView:
    return await shop.bank.context(user).ask(GetSubscription(subscription_id=subscription.id))


async def test_each_paid_month_brings_its_credits_once(shop: Shop) -> None:
    user = await shop.bank.user()
    subscription, stripe_id = await subscribe(shop, user)
    assert (subscription.state, subscription.url, subscription.ends_at) == ("active", None, None)
    assert amounts(await shop.bank.credits(user)) == {"purchased": "1050"}
    await shop.till.control(f"/subscriptions/{stripe_id}/advance")
    await shop.hear(await shop.told() * 2)
    assert amounts(await shop.bank.credits(user)) == {"purchased": "2100"}
    later = await look(shop, user, subscription)
    assert later.paid_until is not None
    assert subscription.paid_until is not None
    assert later.paid_until > subscription.paid_until
    assert (await shop.bank.verify()).ok
    assert await shop.states() <= {"processed", "ignored"}


async def test_a_month_that_is_not_paid_brings_nothing_and_is_told(shop: Shop) -> None:
    user = await shop.bank.user()
    subscription, stripe_id = await subscribe(shop, user)
    await shop.till.control(f"/subscriptions/{stripe_id}/advance", {"declined": True})
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"purchased": "1050"}
    assert (await look(shop, user, subscription)).state == "past_due"
    assert [told.kind for told in shop.bank.notified.told].count("subscription.payment_failed") == 1


async def test_news_in_the_wrong_order_end_the_same(shop: Shop) -> None:
    user = await shop.bank.user()
    subscription, stripe_id = await subscribe(shop, user)
    await shop.till.control(f"/subscriptions/{stripe_id}/advance")
    await shop.till.client.v1.subscriptions.cancel_async(stripe_id)
    await shop.hear(list(reversed(await shop.told())))
    assert (await look(shop, user, subscription)).state == "canceled"
    assert amounts(await shop.bank.credits(user)) == {"purchased": "2100"}


async def test_a_plan_is_granted_as_it_was_when_the_subscription_began(shop: Shop) -> None:
    user = await shop.bank.user()
    began = await begin(shop, user)
    snapshot = {"$set": {"plan.credits": 77_000, "plan.bonus": 0}}
    await shop.bank.collection("subscriptions").update_one({"_id": began.id}, snapshot)
    row = await shop.bank.collection("subscriptions").find_one({"_id": began.id})
    assert row is not None
    await shop.till.control(f"/checkout/{row['session_id']}/pay")
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"purchased": "77"}


async def test_an_invoice_of_another_amount_is_quarantined(shop: Shop) -> None:
    user = await shop.bank.user()
    began = await begin(shop, user)
    await shop.bank.collection("subscriptions").update_one({"_id": began.id}, {"$set": {"plan.price_minor_units": 1}})
    row = await shop.bank.collection("subscriptions").find_one({"_id": began.id})
    assert row is not None
    await shop.till.control(f"/checkout/{row['session_id']}/pay")
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}
    assert "quarantined" in await shop.states()


async def test_a_refund_of_a_month_takes_its_credits(shop: Shop) -> None:
    user = await shop.bank.user()
    await subscribe(shop, user)
    (charge,) = (await shop.till.client.v1.charges.list_async({"limit": 1})).data
    await shop.refund(charge.id, 500)
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"purchased": "525"}
    assert (await shop.bank.verify()).ok


async def test_one_subscribes_once_at_a_time_and_has_one_customer(shop: Shop) -> None:
    user = await shop.bank.user()
    pages: list[str | None] = []

    async def press() -> None:
        pages.append((await begin(shop, user)).url)

    await press()
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(press)
    assert len(set(pages)) == 1
    await subscribe(shop, user)
    with pytest.raises(AlreadySubscribed):
        await begin(shop, user)
    assert len((await shop.till.client.v1.customers.list_async({"limit": 10})).data) == 1


async def test_a_lost_answer_makes_no_second_customer_and_no_second_page(shop: Shop) -> None:
    user = await shop.bank.user()
    for operation in ("customers.create", "checkout.sessions.create"):
        await shop.till.control("/faults", {"operation": operation, "kind": "disconnect", "after": True})
    assert (await begin(shop, user)).state == "open"
    assert len((await shop.till.client.v1.customers.list_async({"limit": 10})).data) == 1
    assert len((await shop.till.client.v1.checkout.sessions.list_async({"limit": 10})).data) == 1


async def test_a_cancelled_subscription_ends_with_the_month_that_was_paid(shop: Shop) -> None:
    user = await shop.bank.user()
    subscription, stripe_id = await subscribe(shop, user)
    ending = await shop.bank.context(user).ask(CancelSubscription(subscription_id=subscription.id))
    assert (ending.state, ending.ends_at) == ("active", subscription.paid_until)
    await shop.till.control(f"/subscriptions/{stripe_id}/advance")
    await shop.hear(await shop.told())
    assert (await look(shop, user, subscription)).state == "canceled"
    assert amounts(await shop.bank.credits(user)) == {"purchased": "1050"}
    with pytest.raises(NotSubscribed):
        await shop.bank.context(user).ask(CancelSubscription(subscription_id=subscription.id))


async def test_what_is_somebody_elses_is_not_there(shop: Shop) -> None:
    user, stranger = await shop.bank.user(), await shop.bank.user()
    subscription = await begin(shop, user)
    with pytest.raises(NotFound):
        await look(shop, stranger, subscription)
    with pytest.raises(NotFound):
        await shop.bank.context(stranger).ask(CancelSubscription(subscription_id=subscription.id))
    assert (await shop.bank.context(stranger).ask(ListSubscriptions())).items == ()
    assert (await shop.bank.context(user).ask(OpenBillingPortal())).url.startswith(shop.till.sandbox.url)
    assert [plan.id for plan in (await shop.bank.context().ask(ListPlans())).plans] == [PLAN, "monthly_5000"]
