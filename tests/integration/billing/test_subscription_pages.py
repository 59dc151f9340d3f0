"""One payment page of a subscription at a time, whatever is asked for at once, and what is over is marked so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
import pytest

from promptforge.actors.billing.errors import AlreadySubscribed
from promptforge.actors.billing.subscriptions.messages import CreateSubscription, GetSubscription, SubscriptionView
from promptforge.core.errors import PromptForgeError
from promptforge.core.jobs import Backoff
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import amounts
from tests.integration.billing.shop import Shop, open_shop
from tests.support.waiving import WAIVED

pytestmark = pytest.mark.anyio

SMALL, LARGE = "monthly_1000", "monthly_5000"


@pytest.fixture
async def shop(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(Backoff, "seconds", lambda *_: 0.05)
    async with open_shop(mongo) as opened:
        yield opened


async def begin(shop: Shop, user: str, plan: str = SMALL) -> SubscriptionView:
    return await shop.bank.context(user).ask(CreateSubscription(plan_id=plan, **WAIVED))


async def state(shop: Shop, user: str, subscription: SubscriptionView) -> str:
    return (await shop.bank.context(user).ask(GetSubscription(subscription_id=subscription.id))).state


async def page_of(shop: Shop, subscription: SubscriptionView) -> str:
    row = await shop.bank.collection("subscriptions").find_one({"_id": subscription.id})
    assert row is not None
    identifier: str = row["session_id"]
    return identifier


async def open_pages(shop: Shop) -> list[str]:
    sessions = await shop.till.client.v1.checkout.sessions.list_async({"limit": 100, "status": "open"})
    return [session.id for session in sessions.data]


async def test_a_page_that_was_paid_counts_however_late_its_event_comes(shop: Shop) -> None:
    user = await shop.bank.user()
    first = await begin(shop, user)
    await shop.till.control(f"/checkout/{await page_of(shop, first)}/pay", {})
    await shop.bank.collection("subscriptions").update_one(
        {"_id": first.id}, {"$set": {"created_at": first.created_at - timedelta(hours=30)}}
    )
    with pytest.raises(AlreadySubscribed):
        await begin(shop, user, LARGE)
    await shop.hear(await shop.told())
    assert await state(shop, user, first) == "active"
    assert amounts(await shop.bank.credits(user)) == {"purchased": "1050"}


async def test_another_plans_page_passes_when_a_new_one_is_made(shop: Shop) -> None:
    user = await shop.bank.user()
    first = await begin(shop, user)
    second = await begin(shop, user, LARGE)
    assert (await state(shop, user, first), await state(shop, user, second)) == ("expired", "open")
    assert await open_pages(shop) == [await page_of(shop, second)]
    await shop.hear(await shop.told())
    assert (await state(shop, user, first), await state(shop, user, second)) == ("expired", "open")
    third = await begin(shop, user)
    assert third.id != first.id
    assert await state(shop, user, second) == "expired"


async def test_pages_of_two_plans_asked_for_at_once_leave_one_that_can_be_paid(shop: Shop) -> None:
    user = await shop.bank.user()

    async def press(plan: str) -> None:
        try:
            await begin(shop, user, plan)
        except PromptForgeError as error:
            assert error.retryable, error  # noqa: PT017  # most of them are served

    async with anyio.create_task_group() as tasks:
        for plan in (SMALL, LARGE) * 3:
            tasks.start_soon(press, plan)
    (page,) = await open_pages(shop)
    live = {"state": {"$in": ["creating", "open"]}}
    rows = await shop.bank.collection("subscriptions").find(live).to_list(None)
    assert [row["session_id"] for row in rows] == [page]


async def test_a_page_that_was_paid_is_not_replaced_before_its_event_has_come(shop: Shop) -> None:
    user = await shop.bank.user()
    first = await begin(shop, user)
    await shop.till.control(f"/checkout/{await page_of(shop, first)}/pay")
    with pytest.raises(AlreadySubscribed):
        await begin(shop, user, LARGE)
    await shop.hear(await shop.told())
    assert await state(shop, user, first) == "active"
    assert amounts(await shop.bank.credits(user)) == {"purchased": "1050"}


async def test_a_page_that_nobody_knows_of_passes_too(shop: Shop) -> None:
    """The answer was lost for good: whether there is a page is asked with its key before another one is made."""
    user = await shop.bank.user()
    first = await begin(shop, user)
    lost = {"$set": {"state": "creating", "session_id": None, "url": None}}
    await shop.bank.collection("subscriptions").update_one({"_id": first.id}, lost)
    assert len(await open_pages(shop)) == 1
    second = await begin(shop, user, LARGE)
    assert await open_pages(shop) == [await page_of(shop, second)]
    assert await state(shop, user, first) == "expired"


async def test_a_page_that_passes_by_itself_is_marked_and_makes_room(shop: Shop) -> None:
    user = await shop.bank.user()
    first = await begin(shop, user)
    await shop.till.client.v1.checkout.sessions.expire_async(await page_of(shop, first))
    await shop.hear(await shop.told())
    assert await state(shop, user, first) == "expired"
    assert "processed" in await shop.states()
    second = await begin(shop, user)
    assert second.id != first.id
    assert second.url is not None


async def test_one_may_subscribe_again_once_a_subscription_has_ended(shop: Shop) -> None:
    user = await shop.bank.user()
    first = await begin(shop, user)
    await shop.till.control(f"/checkout/{await page_of(shop, first)}/pay")
    await shop.hear(await shop.told())
    row = await shop.bank.collection("subscriptions").find_one({"_id": first.id})
    assert row is not None
    await shop.till.client.v1.subscriptions.cancel_async(row["stripe_id"])
    await shop.hear(await shop.told())
    assert await state(shop, user, first) == "canceled"
    assert (await begin(shop, user, LARGE)).state == "open"
