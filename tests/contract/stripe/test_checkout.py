"""Checkout and refunds at the sandbox, through the real SDK."""

from __future__ import annotations

import pytest
import stripe

from tests.support.stripe_sandbox import Till, was_replayed

pytestmark = pytest.mark.anyio


async def test_a_session_is_paid_and_tells_of_it(till: Till) -> None:
    session = await till.session(client_reference_id="chk_1", metadata={"checkout_id": "chk_1"})
    assert session.id.startswith("cs_test_")
    assert session.url == f"{till.sandbox.url}/pay/{session.id}"
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 500)

    await till.control(f"/checkout/{session.id}/pay", {"email": "bruno@example.com"})
    event = await till.received.until("checkout.session.completed")
    told = event["data"]["object"]
    assert (told["id"], told["payment_status"], told["client_reference_id"]) == (session.id, "paid", "chk_1")
    assert event["livemode"] is False
    assert event["api_version"] == stripe.api_version
    assert "account" not in event

    paid = await till.client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["line_items", "payment_intent.latest_charge"]}
    )
    assert paid.status == "complete"
    assert paid.line_items is not None
    assert paid.line_items.data[0].amount_total == 500
    assert isinstance(paid.payment_intent, stripe.PaymentIntent)
    assert isinstance(paid.payment_intent.latest_charge, stripe.Charge)
    assert paid.payment_intent.latest_charge.paid


async def test_a_declined_card_leaves_the_session_open(till: Till) -> None:
    session = await till.session()
    await till.control(f"/checkout/{session.id}/pay", {"outcome": "declined"})
    await till.received.until("payment_intent.payment_failed")
    again = await till.client.v1.checkout.sessions.retrieve_async(session.id)
    assert (again.status, again.payment_status) == ("open", "unpaid")
    await till.control(f"/checkout/{session.id}/pay")
    assert (await till.received.until("checkout.session.completed"))["data"]["object"]["payment_status"] == "paid"


@pytest.mark.parametrize(("succeeds", "kind", "status"), [(True, "succeeded", "paid"), (False, "failed", "unpaid")])
async def test_a_delayed_payment_is_decided_later(till: Till, *, succeeds: bool, kind: str, status: str) -> None:
    session = await till.session()
    await till.control(f"/checkout/{session.id}/pay", {"outcome": "delayed"})
    completed = await till.received.until("checkout.session.completed")
    assert completed["data"]["object"]["payment_status"] == "unpaid"
    await till.control(f"/checkout/{session.id}/settle", {"succeeds": succeeds})
    event = await till.received.until(f"checkout.session.async_payment_{kind}")
    assert event["data"]["object"]["payment_status"] == status


async def test_a_session_expires_by_itself_and_on_demand(till: Till) -> None:
    first, second = await till.session(), await till.session()
    expired = await till.client.v1.checkout.sessions.expire_async(first.id)
    assert (expired.status, expired.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError, match="can be expired"):
        await till.client.v1.checkout.sessions.expire_async(first.id)
    await till.control("/clock", {"seconds": 24 * 3600 + 1})
    assert (await till.client.v1.checkout.sessions.retrieve_async(second.id)).status == "expired"
    await till.received.until("checkout.session.expired", times=2)


async def test_tax_and_country_are_told_apart_from_the_subtotal(till: Till) -> None:
    session = await till.session(1000, automatic_tax={"enabled": True})
    await till.control(f"/checkout/{session.id}/pay", {"country": "de"})
    told = (await till.received.until("checkout.session.completed"))["data"]["object"]
    assert (told["amount_subtotal"], told["amount_total"], told["total_details"]["amount_tax"]) == (1000, 1190, 190)
    assert told["customer_details"]["address"]["country"] == "DE"
    intent = await till.client.v1.payment_intents.retrieve_async(told["payment_intent"])
    assert intent.amount == 1190


async def test_one_key_makes_one_session(till: Till) -> None:
    first = await till.client.v1.customers.create_async({"email": "a@b.example"}, {"idempotency_key": "k1"})
    again = await till.client.v1.customers.create_async({"email": "a@b.example"}, {"idempotency_key": "k1"})
    assert again.id == first.id
    assert was_replayed(again)
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        await till.client.v1.customers.create_async({"email": "c@d.example"}, {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        await till.client.v1.products.create_async({"name": "p"}, {"idempotency_key": "k1"})


async def test_refunds_never_exceed_the_charge(till: Till) -> None:
    charge = await till.charge(2000)
    part = await till.client.v1.refunds.create_async({"charge": charge.id, "amount": 1500})
    assert part.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        await till.client.v1.refunds.create_async({"charge": charge.id, "amount": 501})
    await till.client.v1.refunds.create_async({"charge": charge.id})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await till.client.v1.refunds.create_async({"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"
    listed = await till.client.v1.refunds.list_async({"charge": charge.id})
    assert [one.amount for one in listed.data] == [500, 1500]
    told = (await till.received.until("charge.refunded", times=2))["data"]
    assert (told["object"]["amount_refunded"], told["previous_attributes"]["amount_refunded"]) == (2000, 1500)


async def test_a_refund_can_fail_after_it_has_succeeded(till: Till) -> None:
    charge = await till.charge(2000)
    refund = await till.client.v1.refunds.create_async({"charge": charge.id})
    before = await till.client.v1.balance.retrieve_async()
    await till.control(f"/refunds/{refund.id}/fail")
    await till.received.until("refund.failed")
    failed = await till.client.v1.refunds.retrieve_async(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert (await till.client.v1.charges.retrieve_async(charge.id)).amount_refunded == 0
    after = await till.client.v1.balance.retrieve_async()
    assert after.available[0].amount - before.available[0].amount == 2000


async def test_what_is_paid_once_has_an_invoice_where_the_session_asks_for_one(till: Till) -> None:
    v1 = till.client.v1
    customer = await v1.customers.create_async()
    session = await till.session(
        customer=customer.id,
        customer_update={"address": "auto", "name": "auto"},
        automatic_tax={"enabled": True},
        invoice_creation={"enabled": True, "invoice_data": {"metadata": {"checkout_id": "chk_1"}}},
    )
    await till.control(f"/checkout/{session.id}/pay", {"country": "AT", "card_country": "CH", "name": "Bruno"})
    paid = await v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["invoice", "payment_intent.latest_charge"]}
    )
    invoice = paid.invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.status, invoice.billing_reason, invoice.customer) == ("paid", "manual", customer.id)
    assert (invoice.subtotal, invoice.total, invoice.amount_remaining) == (500, 600, 0)
    assert invoice.metadata is not None
    assert invoice.metadata["checkout_id"] == "chk_1"
    assert invoice.total_taxes is not None
    (tax,) = invoice.total_taxes
    assert tax.tax_rate_details is not None
    rate = await v1.tax_rates.retrieve_async(tax.tax_rate_details.tax_rate)
    assert (tax.amount, rate.percentage, rate.country) == (100, 20.0, "AT")
    intent = paid.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    (payment,) = (await v1.invoice_payments.list_async({"invoice": invoice.id})).data
    assert payment.payment.payment_intent == intent.id
    assert isinstance(intent.latest_charge, stripe.Charge)
    details = intent.latest_charge.payment_method_details
    assert details is not None
    assert details.card is not None
    assert details.card.country == "CH"
    told = await till.received.until("checkout.session.completed")
    assert told["data"]["object"]["invoice"] == invoice.id


async def test_a_delayed_payment_has_its_invoice_once_the_money_is_there(till: Till) -> None:
    session = await till.session(invoice_creation={"enabled": True})
    await till.control(f"/checkout/{session.id}/pay", {"outcome": "delayed"})
    assert (await till.client.v1.checkout.sessions.retrieve_async(session.id)).invoice is None
    await till.control(f"/checkout/{session.id}/settle")
    assert (await till.client.v1.checkout.sessions.retrieve_async(session.id)).invoice is not None


async def test_tax_for_a_customer_of_unknown_address_needs_it_asked_for(till: Till) -> None:
    customer = await till.client.v1.customers.create_async()
    with pytest.raises(stripe.InvalidRequestError, match="requires a valid address"):
        await till.session(customer=customer.id, automatic_tax={"enabled": True})
