"""Subscriptions, their invoices and the billing portal, through the real SDK."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.support.stripe_sandbox import Till

pytestmark = pytest.mark.anyio
MONTHLY: Any = {
    "mode": "subscription",
    "line_items": [
        {
            "quantity": 1,
            "price_data": {
                "currency": "usd",
                "unit_amount": 900,
                "recurring": {"interval": "month"},
                "product_data": {"name": "Monthly credits"},
            },
        }
    ],
    "success_url": "http://127.0.0.1:9/paid",
    "subscription_data": {"metadata": {"user": "usr_1"}},
}


async def subscribed(till: Till) -> stripe.Subscription:
    session = await till.client.v1.checkout.sessions.create_async(MONTHLY)
    await till.control(f"/checkout/{session.id}/pay", {"email": "bruno@example.com"})
    paid = await till.client.v1.checkout.sessions.retrieve_async(session.id)
    assert (paid.mode, paid.payment_status) == ("subscription", "paid")
    assert paid.customer
    return await till.client.v1.subscriptions.retrieve_async(str(paid.subscription))


async def test_a_session_begins_a_subscription_with_a_paid_invoice(till: Till) -> None:
    subscription = await subscribed(till)
    assert (subscription.status, subscription.metadata["user"]) == ("active", "usr_1")
    item = subscription.items.data[0]
    assert 28 <= (item.current_period_end - item.current_period_start) / 86_400 <= 31
    told = (await till.received.until("invoice.paid"))["data"]["object"]
    assert (told["billing_reason"], told["amount_paid"]) == ("subscription_create", 900)
    assert told["parent"]["subscription_details"]["subscription"] == subscription.id
    assert told["parent"]["subscription_details"]["metadata"] == {"user": "usr_1"}
    invoice = await till.client.v1.invoices.retrieve_async(told["id"], {"expand": ["payments"]})
    assert invoice.payments is not None
    (paid,) = invoice.payments.data
    intent = paid.payment.payment_intent
    found = await till.client.v1.invoice_payments.list_async(
        {"payment": {"type": "payment_intent", "payment_intent": str(intent)}}
    )
    assert [one.invoice for one in found.data] == [invoice.id]


async def test_each_period_has_its_invoice(till: Till) -> None:
    subscription = await subscribed(till)
    await till.control("/clock", {"seconds": 63 * 86_400})
    listed = await till.client.v1.invoices.list_async({"subscription": subscription.id})
    assert [one.billing_reason for one in listed.data] == ["subscription_cycle"] * 2 + ["subscription_create"]
    starts = [one.lines.data[0].period.start for one in listed.data]
    assert starts == sorted(starts, reverse=True)
    assert len(set(starts)) == 3
    await till.received.until("invoice.paid", times=3)


async def test_a_declined_period_is_past_due_until_one_is_paid(till: Till) -> None:
    subscription = await subscribed(till)
    await till.control(f"/subscriptions/{subscription.id}/advance", {"declined": True})
    failed = (await till.received.until("invoice.payment_failed"))["data"]["object"]
    assert (failed["status"], failed["attempt_count"]) == ("open", 1)
    assert (await till.client.v1.subscriptions.retrieve_async(subscription.id)).status == "past_due"
    await till.client.v1.invoices.pay_async(failed["id"], {"payment_method": "pm_card_visa"})
    await till.received.until("invoice.paid", times=2)
    assert (await till.client.v1.subscriptions.retrieve_async(subscription.id)).status == "active"
    await till.received.until("customer.subscription.updated", times=2)


async def test_the_invoice_of_a_declined_period_is_paid_with_what_the_subscription_is_paid_with(till: Till) -> None:
    subscription = await subscribed(till)
    await till.control(f"/subscriptions/{subscription.id}/advance", {"declined": True})
    (failed,) = (await till.client.v1.invoices.list_async({"subscription": subscription.id, "status": "open"})).data
    assert (await till.client.v1.invoices.pay_async(str(failed.id))).status == "paid"
    assert (await till.client.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_a_period_that_is_paid_after_a_declined_one_goes_on(till: Till) -> None:
    subscription = await subscribed(till)
    await till.control(f"/subscriptions/{subscription.id}/advance", {"declined": True})
    await till.control(f"/subscriptions/{subscription.id}/advance")
    assert (await till.client.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_a_subscription_ends_with_its_period_or_at_once(till: Till) -> None:
    first, second = await subscribed(till), await subscribed(till)
    ending = await till.client.v1.subscriptions.update_async(first.id, {"cancel_at_period_end": True})
    assert (ending.status, ending.cancel_at) == ("active", first.items.data[0].current_period_end)
    await till.control("/clock", {"seconds": 32 * 86_400})
    assert (await till.client.v1.subscriptions.retrieve_async(first.id)).status == "canceled"
    assert (await till.client.v1.subscriptions.cancel_async(second.id)).status == "canceled"
    await till.received.until("customer.subscription.deleted", times=2)
    live = await till.client.v1.subscriptions.list_async({})
    assert live.data == []
    assert len((await till.client.v1.subscriptions.list_async({"status": "all"})).data) == 2


async def test_a_declined_card_begins_no_subscription(till: Till) -> None:
    session = await till.client.v1.checkout.sessions.create_async(MONTHLY)
    await till.control(f"/checkout/{session.id}/pay", {"outcome": "declined"})
    again = await till.client.v1.checkout.sessions.retrieve_async(session.id)
    assert (again.status, again.subscription) == ("open", None)
    assert (await till.client.v1.subscriptions.list_async({"status": "all"})).data == []


async def test_a_customer_ends_a_subscription_in_the_portal(till: Till) -> None:
    subscription = await subscribed(till)
    portal = await till.client.v1.billing_portal.sessions.create_async(
        {"customer": str(subscription.customer), "return_url": "http://127.0.0.1:9/account"}
    )
    page = await till.http.get(portal.url)
    assert "Monthly credits: active" in page.text
    assert "not Stripe" in page.text
    await till.http.post(portal.url, data={"action": "end", "subscription": subscription.id})
    event = await till.received.until("customer.subscription.updated", times=2)
    assert event["data"]["object"]["cancel_at_period_end"] is True
    await till.http.post(portal.url, data={"action": "now", "subscription": subscription.id})
    await till.received.until("customer.subscription.deleted")
