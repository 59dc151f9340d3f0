"""Invoices: of subscriptions, and those made by hand. An invoice is paid by a PaymentIntent, or is worth nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from promptforge.deploy.sandbox import payments
from promptforge.deploy.sandbox.lists import whole
from promptforge.deploy.sandbox.prices import Item
from promptforge.deploy.sandbox.refusals import Object, Refused, declined_by_rule
from promptforge.deploy.sandbox.world import World, public

NEW_INVOICE: Object = {
    "object": "invoice",
    "account_country": "US",
    "account_name": "PromptForge sandbox",
    "amount_overpaid": 0,
    "amount_paid": 0,
    "amount_shipping": 0,
    "attempt_count": 0,
    "attempted": False,
    "collection_method": "charge_automatically",
    "customer_tax_exempt": "none",
    "customer_tax_ids": [],
    "default_payment_method": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "due_date": None,
    "effective_at": None,
    "ending_balance": None,
    "footer": None,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "issuer": {"type": "self"},
    "livemode": False,
    "metadata": {},
    "next_payment_attempt": None,
    "number": None,
    "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
    "receipt_number": None,
    "starting_balance": 0,
    "status": "draft",
    "total_discount_amounts": [],
    "webhooks_delivered_at": None,
}
"""What every invoice begins with."""


@dataclass(frozen=True, slots=True)
class Billing:
    """What an invoice is for. `period`: from and to, in seconds; `taxes` come on top."""

    customer: str
    currency: str
    reason: str
    period: tuple[int, int]
    subscription: Object | None = None
    taxes: list[Object] = field(default_factory=list)


def new_invoice(world: World, billing: Billing, lines: list[Object], *, account: str | None = None) -> Object:
    """A draft, of which nobody is told yet."""
    identifier = world.new_id("in")
    for line in lines:
        line["invoice"] = identifier
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal + sum(tax["amount"] for tax in billing.taxes)
    customer = world.get("customer", billing.customer, account=account, param="customer")
    made: Object = {
        "id": identifier,
        **public(NEW_INVOICE),
        "amount_due": total,
        "amount_remaining": total,
        "auto_advance": billing.subscription is not None,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_reason": billing.reason,
        "created": world.now(),
        "currency": billing.currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "lines": whole(lines, f"/v1/invoices/{identifier}/lines"),
        "parent": _parent(billing.subscription),
        "period_end": billing.period[1],
        "period_start": billing.period[0],
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_excluding_tax": subtotal,
        "total_taxes": [public(tax) for tax in billing.taxes],
    }
    return world.add(made, account=account)


def _parent(subscription: Object | None) -> Object | None:
    if subscription is None:
        return None
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def line_of(world: World, item: Item, period: tuple[int, int], subscription: Object | None) -> Object:
    parent = None
    if subscription is not None:
        details = {"proration": False, "subscription": subscription["id"]}
        parent = {
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        }
    price = {"price_details": {"price": item.price["id"], "product": item.price["product"]}, "type": "price_details"}
    return {
        **plain_line(world, (item.amount, item.price["currency"]), f"{item.quantity} × {item.title}", period),
        "parent": parent,
        "pricing": {**price, "unit_amount_decimal": str(item.price["unit_amount"])},
        "quantity": item.quantity,
    }


def plain_line(world: World, money: tuple[int, str], description: str | None, period: tuple[int, int]) -> Object:
    amount, currency = money
    return {
        "id": world.new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": None,
        "period": {"start": period[0], "end": period[1]},
        "pricing": None,
        "quantity": 1,
        "subtotal": amount,
        "taxes": [],
    }


def finalize(world: World, invoice: Object) -> None:
    account = world.owner("invoice", invoice["id"])
    customer = world.get("customer", invoice["customer"], account=account)
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    page = f"{world.base_url}/invoices/{invoice['id']}"
    world.emit("invoice.created", invoice, account=account)
    invoice |= {
        "status": "open", "number": number, "hosted_invoice_url": page, "invoice_pdf": f"{page}/pdf",
        "effective_at": world.now(),
        "status_transitions": {**invoice["status_transitions"], "finalized_at": world.now()},
    }  # fmt: skip
    world.emit("invoice.finalized", invoice, account=account)


def pay(world: World, invoice: Object, method: Object | None) -> None:
    """Pay an open invoice. Raises `Refused` where the payment is declined, after everybody has been told."""
    account = world.owner("invoice", invoice["id"])
    if invoice["amount_remaining"] > 0:
        try:
            _pay_intent(world, invoice, method, account)
        except Refused:
            attempts = invoice["attempt_count"] + 1
            invoice |= {"attempted": True, "attempt_count": attempts, "next_payment_attempt": world.now() + 3 * 86_400}
            world.emit("invoice.payment_failed", invoice, account=account)
            raise
    _mark_paid(world, invoice)


def record_payment(world: World, invoice: Object, intent: Object, charge: Object) -> None:
    """An invoice of what was paid already."""
    invoice["_intent"] = intent["id"]
    _add_payment(world, invoice, intent, charge, account=world.owner("invoice", invoice["id"]))
    _mark_paid(world, invoice)


def _mark_paid(world: World, invoice: Object) -> None:
    account = world.owner("invoice", invoice["id"])
    invoice |= {
        "status": "paid", "attempted": True, "attempt_count": invoice["attempt_count"] + 1,
        "amount_paid": invoice["total"],
        "amount_remaining": 0, "next_payment_attempt": None,
        "status_transitions": {**invoice["status_transitions"], "paid_at": world.now()},
    }  # fmt: skip
    for kind in ("invoice.paid", "invoice.payment_succeeded"):
        world.emit(kind, invoice, account=account)


def _pay_intent(world: World, invoice: Object, method: Object | None, account: str | None) -> None:
    if method is None:
        raise declined_by_rule("Cannot charge customer that has no active card", code="missing")
    intent = world.find("payment_intent", invoice.get("_intent", ""), account=account)
    if intent is None:
        intent = payments.new_intent(
            world, invoice["amount_remaining"], invoice["currency"], account=account, customer=invoice["customer"],
            description=invoice["description"] or "Invoice", metadata={},
        )  # fmt: skip
        invoice["_intent"] = intent["id"]
    intent["payment_method"] = method["id"]
    charge = payments.pay(world, intent)
    if not charge["paid"]:
        raise declined_by_rule("The sandbox pays invoices by card only.")
    _add_payment(world, invoice, intent, charge, account=account)


def _add_payment(world: World, invoice: Object, intent: Object, charge: Object, *, account: str | None) -> None:
    paid = {
        "id": world.new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": charge["amount"],
        "amount_requested": charge["amount"],
        "created": world.now(),
        "currency": charge["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": world.now()},
    }
    world.emit("invoice_payment.paid", world.add(paid, account=account), account=account)


def payments_of(world: World, invoice: Object) -> Object:
    """What has paid an invoice, which it shows when asked to."""
    account = world.owner("invoice", invoice["id"])
    mine = [one for one in world.newest_first("invoice_payment", account=account) if one["invoice"] == invoice["id"]]
    return whole(mine, f"/v1/invoices/{invoice['id']}/payments")


def default_method(world: World, customer: str, *, account: str | None = None) -> Object | None:
    settings = world.get("customer", customer, account=account)["invoice_settings"]
    return world.find("payment_method", settings["default_payment_method"] or "", account=account)
