"""Whoever buys is one customer at Stripe, whatever they buy and however often they press the button."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from promptforge.actors.billing.errors import StripeRefused
from promptforge.actors.billing.subscriptions.messages import CreateSubscription, OpenBillingPortal
from promptforge.core.mongo import Mongo
from tests.integration.billing.shop import Shop, open_shop
from tests.support.waiving import WAIVED

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(mongo: Mongo) -> AsyncIterator[Shop]:
    async with open_shop(mongo) as opened:
        yield opened


async def customers(shop: Shop) -> list[str]:
    return [one.id for one in (await shop.till.client.v1.customers.list_async({"limit": 100})).data]


async def test_the_first_checkouts_at_once_make_one_customer(shop: Shop) -> None:
    user = await shop.bank.user()
    await shop.till.control("/faults", {"operation": "customers.create", "kind": "disconnect", "after": True})
    async with anyio.create_task_group() as tasks:
        for pack in ("pack_500", "pack_1000", "pack_5000") * 2:
            tasks.start_soon(shop.bank.checkout, user, pack)
    await shop.bank.context(user).ask(CreateSubscription(plan_id="monthly_1000", **WAIVED))
    (customer,) = await customers(shop)
    sessions = (await shop.till.client.v1.checkout.sessions.list_async({"limit": 100})).data
    assert {session.customer for session in sessions} == {customer}


async def test_the_key_of_a_customer_is_stored_before_stripe_hears_of_it(shop: Shop) -> None:
    user = await shop.bank.user()
    await shop.till.control("/faults", {"operation": "customers.create", "kind": "server_error", "times": 9})
    with pytest.raises(StripeRefused):
        await shop.bank.checkout(user)
    row = await shop.bank.collection("stripe_customers").find_one({"_id": user})
    assert row is not None
    assert row["customer_id"] is None
    assert row["idempotency_key"] != f"customer:{user}", "Stripe would answer this key with the same error for ever"
    await shop.till.control("/faults", method="DELETE")
    assert (await shop.bank.checkout(user)).state == "open"


async def delete_customer(shop: Shop) -> str:
    (customer,) = await customers(shop)
    await shop.till.client.v1.customers.delete_async(customer)
    return customer


async def test_a_customer_that_was_deleted_at_stripe_is_made_anew_when_something_is_bought(shop: Shop) -> None:
    user = await shop.bank.user()
    await shop.bank.checkout(user)
    gone = await delete_customer(shop)
    async with anyio.create_task_group() as tasks:
        for pack in ("pack_1000", "pack_5000") * 2:
            tasks.start_soon(shop.bank.checkout, user, pack)
    (customer,) = await customers(shop)
    assert customer != gone
    row = await shop.bank.collection("stripe_customers").find_one({"_id": user})
    assert row is not None
    assert (row["customer_id"], row["gone"]) == (customer, [gone])
    assert (await shop.bank.checkout(user, "pack_5000")).state == "open"


async def test_a_customer_that_was_deleted_at_stripe_is_made_anew_for_a_subscription_and_for_the_portal(
    shop: Shop,
) -> None:
    user = await shop.bank.user()
    await shop.bank.checkout(user)
    await delete_customer(shop)
    subscription = await shop.bank.context(user).ask(CreateSubscription(plan_id="monthly_1000", **WAIVED))
    assert subscription.state == "open"
    await delete_customer(shop)
    assert (await shop.bank.context(user).ask(OpenBillingPortal())).url
    assert len(await customers(shop)) == 1


async def test_what_was_bought_once_is_among_the_customers_invoices(shop: Shop) -> None:
    user = await shop.bank.user()
    await shop.buy(user, country="DE")
    (customer,) = await customers(shop)
    (invoice,) = (await shop.till.client.v1.invoices.list_async({"customer": customer})).data
    assert (invoice.status, invoice.subtotal, invoice.total) == ("paid", 500, 595)
    assert invoice.number
    known = await shop.till.client.v1.customers.retrieve_async(customer)
    assert known.address is not None
    assert known.address.country == "DE"
