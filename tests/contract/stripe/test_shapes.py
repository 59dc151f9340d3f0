"""The sandbox's objects have the fields that the SDK's types of this API version promise, and no others."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import stripe

from promptforge.deploy.sandbox.api import OPERATIONS
from promptforge.deploy.sandbox.world import API_VERSION
from tests.support.stripe_sandbox import Till

pytestmark = pytest.mark.anyio


def fields(kind: type[stripe.StripeObject]) -> tuple[set[str], set[str]]:
    """Those that must be there, and those that may."""
    hints = kind.__annotations__
    known = {name for name, hint in hints.items() if not str(hint).startswith("typing.ClassVar")}
    return {name for name in known if type(None) not in get_args(hints[name])}, known


def differences(kind: type[stripe.StripeObject], shown: dict[str, Any]) -> list[str]:
    required, known = fields(kind)
    lacking = [f"{kind.__name__} lacks {name}" for name in sorted(required - set(shown))]
    return lacking + [f"{kind.__name__} has no {name}" for name in sorted(set(shown) - known)]


async def test_every_object_has_the_fields_of_the_sdks_types(till: Till) -> None:
    v1 = till.client.v1
    session = await till.session(invoice_creation={"enabled": True}, automatic_tax={"enabled": True})
    await till.control(f"/checkout/{session.id}/pay", {"country": "DE"})
    charge = await till.charge(5000)
    refund = await v1.refunds.create_async({"charge": charge.id, "amount": 100})
    dispute = await till.control("/disputes", {"charge": (await till.charge()).id})
    customer = await v1.customers.create_async({"payment_method": "pm_card_visa"})
    product = await v1.products.create_async({"name": "p"})
    price = await v1.prices.create_async(
        {"product": product.id, "currency": "usd", "unit_amount": 500, "recurring": {"interval": "month"}}
    )
    subscription = await v1.subscriptions.create_async(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "default_payment_method": "pm_card_visa",
        }
    )
    account = await v1.accounts.create_async({})
    await till.control("/funds", {"amount": 10_000})
    transfer = await v1.transfers.create_async({"amount": 100, "currency": "usd", "destination": account.id})
    reversal = await v1.transfers.reversals.create_async(transfer.id, {"amount": 50})
    payout = await v1.payouts.create_async({"amount": 100, "currency": "usd"})
    invoice = await v1.invoices.retrieve_async(str(subscription.latest_invoice), {"expand": ["payments"]})
    intent = await v1.payment_intents.retrieve_async(str(charge.payment_intent))
    movement = await v1.balance_transactions.retrieve_async(str(refund.balance_transaction))
    event = (await v1.events.list_async({"limit": 1})).data[0]
    method = await v1.payment_methods.retrieve_async(str(charge.payment_method))
    session = await v1.checkout.sessions.retrieve_async(session.id)
    assert isinstance(session.invoice, str)
    once = await v1.invoices.retrieve_async(session.invoice)
    taxes = once.total_taxes or []
    rates = [await v1.tax_rates.retrieve_async(tax.tax_rate_details.tax_rate) for tax in taxes if tax.tax_rate_details]
    assert rates
    shown: list[stripe.StripeObject] = [
        session, once, *taxes, *rates,
        charge, refund, customer, product, price, subscription, subscription.items.data[0], account, transfer,
        reversal, payout, invoice, invoice.lines.data[0], intent, movement, event, method,
    ]  # fmt: skip
    found = [line for one in shown for line in differences(type(one), one.to_dict())]
    found += differences(stripe.Dispute, dispute)
    assert not found, "\n".join(found)


def test_the_version_is_that_of_the_sdk() -> None:
    assert stripe.api_version == API_VERSION


def test_operations_have_names_and_paths_of_their_own() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    assert len({(operation.method, operation.path) for operation in OPERATIONS}) == len(OPERATIONS)
    assert all(operation.path.startswith("/v1/") for operation in OPERATIONS)
