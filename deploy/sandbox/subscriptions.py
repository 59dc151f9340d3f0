"""Subscriptions: each period has an invoice, and a subscription lives as long as these are paid."""

from __future__ import annotations

from promptforge.deploy.sandbox import invoices
from promptforge.deploy.sandbox.customers import behaviour_of, use_payment_method
from promptforge.deploy.sandbox.invoices import Billing
from promptforge.deploy.sandbox.lists import listed, whole
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.periods import period_end
from promptforge.deploy.sandbox.prices import Item, read_items
from promptforge.deploy.sandbox.refusals import Object, Refused, card_declined, declined_by_rule, invalid
from promptforge.deploy.sandbox.world import Call, World, changed, public

operations = Operations()
GOING_ON = frozenset({"active", "past_due", "incomplete", "trialing", "unpaid"})
OF_SUBSCRIPTIONS = (
    "automatic_tax cancel_at_period_end collection_method currency customer default_payment_method description items "
    "metadata off_session payment_behavior payment_settings proration_behavior"
)
NEW_SUBSCRIPTION: Object = {
    "object": "subscription",
    "application": None,
    "application_fee_percent": None,
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
    "billing_mode": {"type": "flexible"},
    "billing_schedules": [],
    "billing_thresholds": None,
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "cancellation_details": {"comment": None, "feedback": None, "reason": None},
    "collection_method": "charge_automatically",
    "days_until_due": None,
    "default_payment_method": None,
    "default_source": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "ended_at": None,
    "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
    "latest_invoice": None,
    "livemode": False,
    "next_pending_invoice_item_invoice": None,
    "on_behalf_of": None,
    "pause_collection": None,
    "payment_settings": {"payment_method_options": None, "payment_method_types": None},
    "pending_invoice_item_interval": None,
    "pending_setup_intent": None,
    "pending_update": None,
    "schedule": None,
    "status": "incomplete",
    "test_clock": None,
    "transfer_data": None,
    "trial_end": None,
    "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    "trial_start": None,
}
"""What every subscription begins with."""


def subscribe(
    world: World,
    customer: str,
    items: list[Item],
    method: Object | None,
    *,
    account: str | None = None,
    metadata: dict[str, str] | None = None,
    taxes: list[Object] | None = None,
    incomplete_too: bool = False,
) -> Object:
    """Begin a subscription with its first invoice. Raises `Refused` where that is declined.

    `incomplete_too`: a declined one stays, incomplete, and is answered.
    """
    if method is not None and not incomplete_too and (reason := behaviour_of(method).declines) is not None:
        raise card_declined("Your card was declined.", reason)  # Checkout makes nothing of it
    subscription = _new_subscription(world, customer, items, account=account, metadata=metadata or {})
    subscription |= {"default_payment_method": method and method["id"], "_taxes": taxes or []}
    world.emit("customer.subscription.created", subscription, account=account)
    try:
        _bill(world, subscription, "subscription_create", method)
    except Refused:
        if not incomplete_too:
            raise
        return subscription
    previous = changed(subscription, {"status": "active"})
    world.emit("customer.subscription.updated", subscription, account=account, previous=previous)
    _plan_renewal(world, subscription)
    return subscription


def _new_subscription(
    world: World, customer: str, items: list[Item], *, account: str | None, metadata: dict[str, str]
) -> Object:
    now, identifier = world.now(), world.new_id("sub")
    made: Object = {
        "id": identifier,
        **public(NEW_SUBSCRIPTION),
        "billing_cycle_anchor": now,
        "created": now,
        "currency": items[0].price["currency"],
        "customer": customer,
        "items": whole(
            [_item(world, item, identifier, now) for item in items], f"/v1/subscription_items?subscription={identifier}"
        ),
        "metadata": metadata,
        "start_date": now,
    }
    return world.add(made, account=account)


def _item(world: World, item: Item, subscription: str, now: int) -> Object:
    repeats = item.price["recurring"]
    if repeats is None:
        raise invalid("The price specified is set to `type=one_time` but this field only accepts recurring prices.")
    plan = {
        "id": item.price["id"], "object": "plan", "active": True, "amount": item.price["unit_amount"],
        "currency": item.price["currency"], "interval": repeats["interval"],
        "interval_count": repeats["interval_count"],
        "livemode": False, "product": item.price["product"], "usage_type": "licensed",
    }  # fmt: skip
    return {
        "id": world.new_id("si", 14),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_end": period_end(now, repeats["interval"], repeats["interval_count"]),
        "current_period_start": now,
        "discounts": [],
        "metadata": {},
        "plan": plan,
        "price": item.price,
        "quantity": item.quantity,
        "subscription": subscription,
        "tax_rates": [],
        "_title": item.title,
    }


def _period(subscription: Object) -> tuple[int, int]:
    first = subscription["items"]["data"][0]
    return first["current_period_start"], first["current_period_end"]


def _bill(world: World, subscription: Object, reason: str, method: Object | None) -> None:
    """Invoice the current period and pay it. Raises `Refused` where that is declined."""
    account, period = world.owner("subscription", subscription["id"]), _period(subscription)
    items = [Item(one["price"], one["quantity"], one["_title"]) for one in subscription["items"]["data"]]
    billing = Billing(
        subscription["customer"], subscription["currency"], reason, period, subscription, subscription["_taxes"]
    )
    lines = [invoices.line_of(world, item, period, subscription) for item in items]
    invoice = invoices.new_invoice(world, billing, lines, account=account)
    subscription["latest_invoice"] = invoice["id"]
    invoices.finalize(world, invoice)
    invoices.pay(world, invoice, method)


def _plan_renewal(world: World, subscription: Object) -> None:
    ends = _period(subscription)[1]
    world.timeline.plan(ends, lambda: _renew_if_due(world, subscription, ends))


def _renew_if_due(world: World, subscription: Object, ends: int) -> None:
    if subscription["status"] in GOING_ON and _period(subscription)[1] == ends:
        renew(world, subscription)


def renew(world: World, subscription: Object, *, declines: bool = False) -> None:
    """Begin the next period now; `declines`: its payment fails, whatever the card."""
    account = world.owner("subscription", subscription["id"])
    if subscription["status"] not in GOING_ON:
        raise declined_by_rule(f"The subscription is {subscription['status']}")
    if subscription["cancel_at_period_end"]:
        cancel(world, subscription)
        return
    before = subscription["status"]
    for item in subscription["items"]["data"]:
        repeats = item["price"]["recurring"]
        begins = item["current_period_end"]
        ends = period_end(begins, repeats["interval"], repeats["interval_count"])
        item |= {"current_period_start": begins, "current_period_end": ends}
    method = method_of(world, subscription)
    if method is not None and declines:
        method = {
            **method,
            "id": world.new_id("pm"),
            "_behaviour": {**method["_behaviour"], "declines": "generic_decline"},
        }
        world.add(method, account=account)
    try:
        _bill(world, subscription, "subscription_cycle", method)
        subscription["status"] = "active"
    except Refused:
        subscription["status"] = "past_due"
    world.emit("customer.subscription.updated", subscription, account=account, previous={"status": before})
    _plan_renewal(world, subscription)


def method_of(world: World, subscription: Object) -> Object | None:
    """What it is paid with: its own, or the customer's default."""
    account = world.owner("subscription", subscription["id"])
    method = world.find("payment_method", subscription["default_payment_method"] or "", account=account)
    return method or invoices.default_method(world, subscription["customer"], account=account)


def of_invoice(world: World, invoice: Object) -> Object | None:
    """The subscription that an invoice is for."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    account = world.owner("invoice", invoice["id"])
    return world.find("subscription", details.get("subscription") or "", account=account)


def paid_after_all(world: World, subscription: Object, invoice: Object) -> None:
    """One that was past due goes on once its newest invoice is paid."""
    if subscription["status"] != "past_due" or subscription["latest_invoice"] != invoice["id"]:
        return
    previous = changed(subscription, {"status": "active"})
    account = world.owner("subscription", subscription["id"])
    world.emit("customer.subscription.updated", subscription, account=account, previous=previous)


def cancel(world: World, subscription: Object, reason: str = "cancellation_requested") -> None:
    now = world.now()
    details = {**subscription["cancellation_details"], "reason": reason}
    subscription |= {"status": "canceled", "canceled_at": now, "ended_at": now, "cancellation_details": details}
    account = world.owner("subscription", subscription["id"])
    world.emit("customer.subscription.deleted", subscription, account=account)


@operations.post("/subscriptions", "subscriptions.create", known=OF_SUBSCRIPTIONS)
def create_subscription(call: Call) -> Object:
    world, params = call.world, call.params
    customer = call.named("customer", "customer")
    behaviours = ("allow_incomplete", "default_incomplete", "error_if_incomplete")
    behaviour = params.choice("payment_behavior", behaviours, "allow_incomplete")
    method = _method_of(call, customer)
    if method is None:
        message = "This customer has no attached payment source or default payment method."
        raise declined_by_rule(message, code="resource_missing")
    return subscribe(
        world, customer["id"], read_items(call, "items"), method,
        account=call.account, metadata=params.metadata(), incomplete_too=behaviour != "error_if_incomplete",
    )  # fmt: skip


def _method_of(call: Call, customer: Object) -> Object | None:
    if call.params.find("default_payment_method") is not None:
        return use_payment_method(call.world, call.params.text("default_payment_method"), account=call.account)
    return invoices.default_method(call.world, customer["id"], account=call.account)


@operations.post(
    "/subscriptions/{id}",
    "subscriptions.update",
    known="cancel_at_period_end default_payment_method description metadata proration_behavior",
)
def update_subscription(call: Call) -> Object:
    subscription, params = call.get("subscription"), call.params
    if subscription["status"] == "canceled":
        raise declined_by_rule("A canceled subscription can only update its cancellation_details and metadata.")
    changes: Object = {"metadata": params.metadata(subscription["metadata"])}
    if "cancel_at_period_end" in params:
        changes |= set_to_end(subscription, ends=params.flag("cancel_at_period_end"), now=call.world.now())
    if params.find("default_payment_method") is not None:
        method = use_payment_method(call.world, params.text("default_payment_method"), account=call.account)
        changes["default_payment_method"] = method["id"]
    previous = changed(subscription, changes)
    call.world.emit("customer.subscription.updated", subscription, account=call.account, previous=previous)
    return subscription


def set_to_end(subscription: Object, *, ends: bool, now: int) -> Object:
    """The changes that make a subscription end with its period, or go on."""
    ends_at = _period(subscription)[1] if ends else None
    return {"cancel_at_period_end": ends, "cancel_at": ends_at, "canceled_at": now if ends else None}


@operations.delete("/subscriptions/{id}", "subscriptions.cancel", known="cancellation_details invoice_now prorate")
def cancel_subscription(call: Call) -> Object:
    subscription = call.get("subscription")
    if subscription["status"] == "canceled":
        raise declined_by_rule("This subscription is canceled already.")
    cancel(call.world, subscription)
    return subscription


@operations.get("/subscriptions/{id}", "subscriptions.retrieve")
def retrieve_subscription(call: Call) -> Object:
    return call.get("subscription")


@operations.list("/subscriptions", "subscriptions.list", known="customer price status")
def list_subscriptions(call: Call) -> Object:
    """Without a status, all that are not canceled."""
    status = call.params.find("status")
    items = list(call.world.newest_first("subscription", account=call.account))
    if status is None:
        items = [one for one in items if one["status"] != "canceled"]
    elif status != "all":
        items = [one for one in items if one["status"] == status]
    return listed(call, "subscription", {"customer": "customer"}, items=items)
