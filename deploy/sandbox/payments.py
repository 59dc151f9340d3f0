"""PaymentIntents and the charges that they make. A charge that succeeds moves the balance."""

from __future__ import annotations

from promptforge.deploy.sandbox import books, disputes
from promptforge.deploy.sandbox.currencies import check_charge, read_currency
from promptforge.deploy.sandbox.customers import behaviour_of, use_payment_method
from promptforge.deploy.sandbox.lists import listed
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, Refused, card_declined, declined_by_rule
from promptforge.deploy.sandbox.world import Call, World, changed, public

operations = Operations()
DELAYED_SECONDS = 3
"""How long a delayed payment with one of Stripe's test bank accounts takes."""
OF_INTENTS = (
    "amount automatic_payment_methods capture_method confirm confirmation_method currency customer description "
    "metadata off_session payment_method payment_method_options payment_method_types receipt_email return_url "
    "setup_future_usage shipping statement_descriptor statement_descriptor_suffix transfer_group"
)
MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
}
NEW_INTENT: Object = {
    "object": "payment_intent",
    "amount_capturable": 0,
    "amount_details": {"tip": {}},
    "amount_received": 0,
    "application": None,
    "application_fee_amount": None,
    "automatic_payment_methods": None,
    "canceled_at": None,
    "cancellation_reason": None,
    "capture_method": "automatic_async",
    "confirmation_method": "automatic",
    "customer": None,
    "description": None,
    "last_payment_error": None,
    "latest_charge": None,
    "livemode": False,
    "metadata": {},
    "next_action": None,
    "on_behalf_of": None,
    "payment_method": None,
    "payment_method_options": {},
    "payment_method_types": ["card"],
    "processing": None,
    "receipt_email": None,
    "review": None,
    "setup_future_usage": None,
    "shipping": None,
    "source": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "status": "requires_payment_method",
    "transfer_data": None,
    "transfer_group": None,
}
"""What a PaymentIntent is before anything is known of it."""
NEW_CHARGE: Object = {
    "object": "charge",
    "amount_captured": 0,
    "amount_refunded": 0,
    "application": None,
    "application_fee": None,
    "application_fee_amount": None,
    "balance_transaction": None,
    "calculated_statement_descriptor": "PROMPTFORGE SANDBOX",
    "captured": False,
    "disputed": False,
    "failure_balance_transaction": None,
    "failure_code": None,
    "failure_message": None,
    "fraud_details": {},
    "livemode": False,
    "on_behalf_of": None,
    "outcome": None,
    "paid": False,
    "receipt_number": None,
    "refunded": False,
    "review": None,
    "shipping": None,
    "source": None,
    "source_transfer": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "status": "failed",
    "transfer_data": None,
}
"""A charge that nobody has decided on."""


def new_intent(world: World, amount: int, currency: str, *, account: str | None = None, **given: object) -> Object:
    identifier = world.new_id("pi")
    made: Object = {
        "id": identifier,
        **public(NEW_INTENT),
        "amount": amount,
        "client_secret": f"{identifier}_secret_{world.new_id('s')[2:]}",
        "created": world.now(),
        "currency": currency,
        **given,
    }
    world.add(made, account=account)
    world.emit("payment_intent.created", made, account=account)
    return made


@operations.post("/payment_intents", "payment_intents.create", known=OF_INTENTS)
def create_intent(call: Call) -> Object:
    params = call.params
    params.choice("capture_method", ("automatic", "automatic_async"), "automatic_async")
    currency = read_currency(params)
    amount = check_charge(params.integer("amount"), currency, param="amount")
    given: Object = {name: params.find(name) for name in ("description", "receipt_email", "transfer_group")}
    if params.find("customer") is not None:
        given["customer"] = call.named("customer", "customer")["id"]
    if types := params.texts("payment_method_types"):
        given["payment_method_types"] = types
    intent = new_intent(call.world, amount, currency, account=call.account, metadata=params.metadata(), **given)
    if params.find("payment_method") is not None:
        method = use_payment_method(call.world, params.text("payment_method"), account=call.account)
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if params.flag("confirm"):
        pay(call.world, intent)
    return intent


@operations.post(
    "/payment_intents/{id}/confirm", "payment_intents.confirm", known="payment_method return_url off_session"
)
def confirm_intent(call: Call) -> Object:
    intent = call.get("payment_intent")
    if intent["status"] not in {"requires_payment_method", "requires_confirmation", "requires_action"}:
        raise _unexpected(intent, "confirm")
    if call.params.find("payment_method") is not None:
        method = use_payment_method(call.world, call.params.text("payment_method"), account=call.account)
        intent["payment_method"] = method["id"]
    pay(call.world, intent)
    return intent


@operations.post("/payment_intents/{id}/cancel", "payment_intents.cancel", known="cancellation_reason")
def cancel_intent(call: Call) -> Object:
    intent = call.get("payment_intent")
    if not intent["status"].startswith("requires_"):
        raise _unexpected(intent, "cancel")
    reason = call.params.find("cancellation_reason")
    intent |= {"status": "canceled", "canceled_at": call.world.now(), "cancellation_reason": reason}
    call.world.emit("payment_intent.canceled", intent, account=call.account)
    return intent


@operations.post(
    "/payment_intents/{id}", "payment_intents.update", known="description metadata receipt_email transfer_group"
)
def update_intent(call: Call) -> Object:
    intent, params = call.get("payment_intent"), call.params
    names = ("description", "receipt_email", "transfer_group")
    changed(intent, {name: params.find(name) for name in names if name in params})
    intent["metadata"] = params.metadata(intent["metadata"])
    return intent


def _unexpected(intent: Object, verb: str) -> Refused:
    message = f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}."
    return declined_by_rule(message, code="payment_intent_unexpected_state")


@operations.get("/payment_intents/{id}", "payment_intents.retrieve", known="client_secret")
def retrieve_intent(call: Call) -> Object:
    return call.get("payment_intent")


@operations.list("/payment_intents", "payment_intents.list", known="customer")
def list_intents(call: Call) -> Object:
    return listed(call, "payment_intent", {"customer": "customer"})


@operations.get("/charges/{id}", "charges.retrieve")
def retrieve_charge(call: Call) -> Object:
    return call.get("charge")


@operations.list("/charges", "charges.list", known="customer payment_intent transfer_group")
def list_charges(call: Call) -> Object:
    names = ("customer", "payment_intent", "transfer_group")
    return listed(call, "charge", {name: name for name in names})


@operations.post(
    "/charges/{id}", "charges.update", known="description metadata receipt_email fraud_details transfer_group"
)
def update_charge(call: Call) -> Object:
    charge = call.get("charge")
    previous = changed(charge, {"metadata": call.params.metadata(charge["metadata"])})
    call.world.emit("charge.updated", charge, account=call.account, previous=previous)
    return charge


# What a payment does


def pay(world: World, intent: Object) -> Object:
    """Try to pay with the intent's payment method. Answers the charge; raises `Refused` where it is declined."""
    if intent["payment_method"] is None:
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise declined_by_rule(message, code="payment_intent_unexpected_state")
    account = world.owner("payment_intent", intent["id"])
    method = world.get("payment_method", intent["payment_method"], account=account)
    behaviour = behaviour_of(method)
    charge = _new_charge(world, intent, method, account)
    intent["latest_charge"] = charge["id"]
    if behaviour.declines is not None:
        raise _decline(world, intent, charge, behaviour.declines)
    if behaviour.delayed is not None:
        charge["status"], intent["status"] = "pending", "processing"
        world.emit("charge.pending", charge, account=account)
        world.emit("payment_intent.processing", intent, account=account)
        return charge
    _succeed(world, intent, charge, pending=not behaviour.available_at_once)
    if behaviour.disputes is not None:
        disputes.open_dispute(world, charge, inquiry=behaviour.disputes == "inquiry")
    return charge


def settle(world: World, intent: Object, *, succeeds: bool) -> None:
    """End a delayed payment. Does nothing for one that is not under way."""
    if intent["status"] != "processing":
        return
    charge = world.get("charge", intent["latest_charge"], account=world.owner("payment_intent", intent["id"]))
    if succeeds:
        _succeed(world, intent, charge, pending=True)
    else:
        _decline(world, intent, charge, "generic_decline")


def _new_charge(world: World, intent: Object, method: Object, account: str | None) -> Object:
    kind = method["type"]
    identifier = world.new_id("ch" if kind == "card" else "py")
    return world.add(
        {
            "id": identifier,
            **public(NEW_CHARGE),
            "amount": intent["amount"],
            "billing_details": method["billing_details"],
            "created": world.now(),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "metadata": dict(intent["metadata"]),
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {"type": kind, kind: public(method[kind])},
            "receipt_email": intent["receipt_email"],
            "receipt_url": f"{world.base_url}/receipts/{identifier}",
            "transfer_group": intent["transfer_group"],
        },
        account=account,
    )


def _succeed(world: World, intent: Object, charge: Object, *, pending: bool) -> None:
    account, amount, currency = world.owner("charge", charge["id"]), charge["amount"], charge["currency"]
    kind = "charge" if charge["id"].startswith("ch_") else "payment"
    fee = min(amount, round(amount * 0.029) + 30)
    movement = books.move(world, kind, amount, currency, source=charge["id"], account=account, fee=fee, pending=pending)
    outcome = {
        "network_status": "approved_by_network", "reason": None, "risk_level": "normal", "risk_score": 20,
        "seller_message": "Payment complete.", "type": "authorized",
    }  # fmt: skip
    charge |= {
        "status": "succeeded", "paid": True, "captured": True, "amount_captured": amount, "outcome": outcome,
        "balance_transaction": movement["id"],
    }  # fmt: skip
    intent |= {"status": "succeeded", "amount_received": amount, "last_payment_error": None}
    world.emit("charge.succeeded", charge, account=account)
    world.emit("payment_intent.succeeded", intent, account=account)


def _decline(world: World, intent: Object, charge: Object, reason: str) -> Refused:
    account, message = world.owner("charge", charge["id"]), MESSAGES.get(reason, MESSAGES["generic_decline"])
    code = "expired_card" if reason == "expired_card" else "card_declined"
    charge |= {"status": "failed", "failure_code": code, "failure_message": message}
    error = {
        "charge": charge["id"], "code": code, "decline_code": reason, "message": message, "type": "card_error",
    }  # fmt: skip
    intent |= {"status": "requires_payment_method", "payment_method": None, "last_payment_error": error}
    world.emit("charge.failed", charge, account=account)
    world.emit("payment_intent.payment_failed", intent, account=account)
    return card_declined(message, reason, code=code, more={"charge": charge["id"], "payment_intent": public(intent)})
