"""Checkout sessions: made by a program, paid by a person (pages.py), by a test (control.py) or by Stripe's CLI."""

from __future__ import annotations

from promptforge.deploy.sandbox import invoices, payments, subscriptions, taxes
from promptforge.deploy.sandbox.currencies import check_charge
from promptforge.deploy.sandbox.customers import Behaviour, make_payment_method, new_customer, use_payment_method
from promptforge.deploy.sandbox.forms import Params
from promptforge.deploy.sandbox.invoices import Billing
from promptforge.deploy.sandbox.lists import listed, whole
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.prices import Item, read_items
from promptforge.deploy.sandbox.refusals import Object, declined_by_rule, invalid
from promptforge.deploy.sandbox.taxes import Buyer
from promptforge.deploy.sandbox.world import Call, World, changed, public

operations = Operations()
LIFETIME_SECONDS = 24 * 3600
OF_SESSIONS = (
    "after_expiration allow_promotion_codes automatic_tax billing_address_collection cancel_url client_reference_id "
    "consent_collection currency custom_fields custom_text customer customer_creation customer_email customer_update "
    "expires_at invoice_creation line_items locale metadata mode payment_intent_data payment_method_collection "
    "payment_method_options payment_method_types phone_number_collection saved_payment_method_options submit_type "
    "subscription_data success_url tax_id_collection ui_mode"
)
NEW_SESSION: Object = {
    "object": "checkout.session",
    "adaptive_pricing": {"enabled": False},
    "after_expiration": None,
    "client_secret": None,
    "consent": None,
    "currency_conversion": None,
    "custom_fields": [],
    "custom_text": {},
    "customer": None,
    "customer_details": None,
    "discounts": [],
    "invoice": None,
    "livemode": False,
    "payment_intent": None,
    "payment_link": None,
    "payment_method_options": {},
    "payment_status": "unpaid",
    "phone_number_collection": {"enabled": False},
    "recovered_from": None,
    "setup_intent": None,
    "shipping_cost": None,
    "shipping_options": [],
    "status": "open",
    "subscription": None,
    "success_url": None,
    "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
    "ui_mode": "hosted_page",
}
"""What every session begins with."""


@operations.post("/checkout/sessions", "checkout.sessions.create", known=OF_SESSIONS)
def create_session(call: Call) -> Object:
    params = call.params
    mode = params.choice("mode", ("payment", "subscription"))
    params.choice("ui_mode", ("hosted_page",), "hosted_page")
    success_url = params.text("success_url")
    items = read_items(call, "line_items", known="adjustable_quantity price price_data quantity")
    subtotal, currency = sum(item.amount for item in items), items[0].price["currency"]
    repeats = any(item.price["recurring"] for item in items)
    if mode == "payment":
        check_charge(subtotal, currency, param="line_items")
    if repeats and mode == "payment":
        raise invalid("You specified `payment` mode but passed a recurring price.", param="mode")
    if not repeats and mode == "subscription":
        raise invalid("You must provide at least one recurring price in `subscription` mode.", param="mode")
    customer = call.named("customer", "customer") if params.find("customer") is not None else None
    session = _new_session(call, mode, subtotal, currency)
    taxes.check(session, customer, session["_update"])
    session |= {
        "success_url": success_url,
        "customer": customer and customer["id"],
        "_items": [{"price": item.price, "quantity": item.quantity, "title": item.title} for item in items],
    }
    call.world.add(session, account=call.account)
    call.world.timeline.plan(session["expires_at"], lambda: expire(call.world, session))
    return session


def _new_session(call: Call, mode: str, subtotal: int, currency: str) -> Object:
    world, params = call.world, call.params
    identifier = f"cs_test_{world.new_id('a1', 56)[3:]}"
    taxed = params.part("automatic_tax").flag("enabled")
    expires_at = params.find_integer("expires_at") or world.now() + LIFETIME_SECONDS
    if not world.now() + 1800 <= expires_at <= world.now() + LIFETIME_SECONDS:
        raise invalid("`expires_at` must be between 30 minutes and 24 hours from now.", param="expires_at")
    return {
        "id": identifier,
        **public(NEW_SESSION),
        "allow_promotion_codes": params.flag("allow_promotion_codes") or None,
        "amount_subtotal": subtotal,
        "amount_total": subtotal,
        "automatic_tax": {"enabled": taxed, "liability": None, "provider": None, "status": None},
        "billing_address_collection": params.find("billing_address_collection"),
        "cancel_url": params.find("cancel_url"),
        "client_reference_id": params.find("client_reference_id"),
        "consent_collection": params.part("consent_collection").tree or None,
        "created": world.now(),
        "currency": currency,
        "customer_creation": "always" if mode == "subscription" else params.find("customer_creation") or "if_required",
        "customer_email": params.find("customer_email"),
        "expires_at": expires_at,
        "invoice_creation": {"enabled": params.part("invoice_creation").flag("enabled")} if mode == "payment" else None,
        "locale": params.find("locale"),
        "metadata": params.metadata(),
        "mode": mode,
        "payment_method_collection": "always" if mode == "subscription" else "if_required",
        "payment_method_types": params.texts("payment_method_types") or ["card"],
        "submit_type": params.find("submit_type"),
        "url": f"{world.base_url}/pay/{identifier}",
        "_invoice": _invoice_of(params),
        "_taxes": [],
        "_update": params.part("customer_update").tree,
        "_intent": params.part("payment_intent_data").tree,
        "_subscription": params.part("subscription_data").tree,
    }


def _invoice_of(params: Params) -> Object | None:
    """What is known of the invoice that is to be made; None where none is."""
    wanted = params.part("invoice_creation")
    return wanted.part("invoice_data").tree if wanted.flag("enabled") else None


@operations.get("/checkout/sessions/{id}", "checkout.sessions.retrieve")
def retrieve_session(call: Call) -> Object:
    return call.get("checkout.session")


@operations.list("/checkout/sessions", "checkout.sessions.list", known="customer payment_intent status subscription")
def list_sessions(call: Call) -> Object:
    names = ("customer", "payment_intent", "status", "subscription")
    return listed(call, "checkout.session", {name: name for name in names})


@operations.post("/checkout/sessions/{id}/expire", "checkout.sessions.expire")
def expire_session(call: Call) -> Object:
    session = call.get("checkout.session")
    if session["status"] != "open":
        message = f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {session["status"]}.'
        raise declined_by_rule(message, param="session")
    expire(call.world, session)
    return session


def expire(world: World, session: Object) -> None:
    """Does nothing to a session that is not open any more."""
    if session["status"] == "open":
        session |= {"status": "expired", "url": None}
        world.emit("checkout.session.expired", session, account=world.owner("checkout.session", session["id"]))


def items_of(session: Object) -> list[Item]:
    return [Item(**one) for one in session["_items"]]


def line_items(world: World, session: Object) -> Object:
    """A session's items, which it shows when asked to."""
    stored = world.find_anywhere(session["id"]) or session
    lines = [
        {
            "id": f"li_{session['id'][-14:]}{number}",
            "object": "item",
            "amount_discount": 0,
            "amount_subtotal": item.amount,
            "amount_tax": stored["total_details"]["amount_tax"] if number == 0 else 0,
            "amount_total": item.amount + (stored["total_details"]["amount_tax"] if number == 0 else 0),
            "currency": stored["currency"],
            "description": item.title,
            "metadata": {},
            "price": item.price,
            "quantity": item.quantity,
        }
        for number, item in enumerate(items_of(stored))
    ]
    return whole(lines, f"/v1/checkout/sessions/{session['id']}/line_items")


@operations.list("/checkout/sessions/{id}/line_items", "checkout.sessions.line_items")
def list_line_items(call: Call) -> Object:
    return line_items(call.world, call.get("checkout.session"))


# Paying


def pay(world: World, session: Object, behaviour: Behaviour, buyer: Buyer) -> None:
    """What happens when the buyer presses the button. Raises `Refused` where the payment is declined."""
    _check_open(session)
    account = world.owner("checkout.session", session["id"])
    kind = "sepa_debit" if behaviour.delayed is not None else "card"
    method = make_payment_method(
        world, behaviour, card=buyer.card or session["id"], kind=kind, country=buyer.card_country or buyer.country,
        account=account, email=buyer.email, name=buyer.name, address=buyer.address,
    )  # fmt: skip
    pay_with(world, session, method, buyer)


def _check_open(session: Object) -> None:
    if session["status"] != "open":
        raise declined_by_rule(f"This Checkout Session is {session['status']} and cannot be paid.")


def pay_with(world: World, session: Object, method: Object, buyer: Buyer) -> None:
    _check_open(session)
    account = world.owner("checkout.session", session["id"])
    taxes.apply(world, session, buyer)
    _know_customer(world, session, buyer, account)
    method["customer"] = session["customer"]
    if session["mode"] == "subscription":
        _subscribe(world, session, method, account)
        paid = True
    else:
        paid = _pay_once(world, session, method, account)
    session |= {"status": "complete", "url": None, "payment_status": "paid" if paid else "unpaid"}
    world.emit("checkout.session.completed", session, account=account)


def _know_customer(world: World, session: Object, buyer: Buyer, account: str | None) -> None:
    """An invoice needs somebody whom it is sent to."""
    wanted = session["customer_creation"] == "always" or session["_invoice"] is not None
    if session["customer"] is None and wanted:
        session["customer"] = new_customer(world, account=account, email=buyer.email, name=buyer.name)["id"]
    customer = world.find("customer", session["customer"] or "", account=account)
    updates = {"address": buyer.address, "name": buyer.name}
    if customer is not None:
        customer.update({name: value for name, value in updates.items() if session["_update"].get(name) == "auto"})


def _pay_once(world: World, session: Object, method: Object, account: str | None) -> bool:
    """Answers whether the money is there at once."""
    if session["payment_intent"] is None:
        data = Params(session["_intent"], "payment_intent_data")
        intent = payments.new_intent(
            world, session["amount_total"], session["currency"], account=account, customer=session["customer"],
            metadata=data.metadata(), description=data.find("description"), transfer_group=data.find("transfer_group"),
            receipt_email=data.find("receipt_email"),
        )  # fmt: skip
        session["payment_intent"] = intent["id"]
    else:  # a payment that was declined is tried again
        intent = world.get("payment_intent", session["payment_intent"], account=account)
        intent["amount"] = session["amount_total"]
    intent["payment_method"] = method["id"]
    charge = payments.pay(world, intent)
    if charge["paid"]:
        _invoice(world, session, intent, charge)
    return bool(charge["paid"])


def _invoice(world: World, session: Object, intent: Object, charge: Object) -> None:
    """The invoice of what was paid once, where the session asks for one: it is made when the money is there."""
    if session["_invoice"] is None:
        return
    account, now = world.owner("checkout.session", session["id"]), world.now()
    bill = Billing(session["customer"], session["currency"], "manual", (now, now), taxes=session["_taxes"])
    lines = [invoices.line_of(world, item, (now, now), None) for item in items_of(session)]
    invoice = invoices.new_invoice(world, bill, lines, account=account)
    invoice["metadata"] = session["_invoice"].get("metadata", {})
    invoices.finalize(world, invoice)
    invoices.record_payment(world, invoice, intent, charge)
    session["invoice"] = invoice["id"]


def _subscribe(world: World, session: Object, method: Object, account: str | None) -> None:
    data = Params(session["_subscription"], "subscription_data")
    subscription = subscriptions.subscribe(
        world, session["customer"], items_of(session), method,
        account=account, metadata=data.metadata(), taxes=session["_taxes"],
    )  # fmt: skip
    session |= {"subscription": subscription["id"], "invoice": subscription["latest_invoice"]}


def settle(world: World, session: Object, *, succeeds: bool) -> None:
    """End a delayed payment. Does nothing where none is under way."""
    if session["payment_intent"] is None or session["status"] != "complete" or session["payment_status"] != "unpaid":
        return
    account = world.owner("checkout.session", session["id"])
    intent = world.get("payment_intent", session["payment_intent"], account=account)
    if intent["status"] != "processing":
        return
    payments.settle(world, intent, succeeds=succeeds)
    if succeeds:
        _invoice(world, session, intent, world.get("charge", intent["latest_charge"], account=account))
    changed(session, {"payment_status": "paid" if succeeds else "unpaid"})
    outcome = "succeeded" if succeeds else "failed"
    world.emit(f"checkout.session.async_payment_{outcome}", session, account=account)


# What the CLI uses instead of a browser


@operations.get("/payment_pages/{id}", "payment_pages.retrieve")
def retrieve_page(call: Call) -> Object:
    return _page(call.get("checkout.session"))


@operations.post("/payment_pages/{id}/confirm", "payment_pages.confirm", known="expected_amount payment_method")
def confirm_page(call: Call) -> Object:
    world, session = call.world, call.get("checkout.session")
    expected = call.params.find_integer("expected_amount")
    if expected is not None and expected != session["amount_total"]:
        raise declined_by_rule("The amount has changed; reload the page.", param="expected_amount")
    method = use_payment_method(world, call.params.text("payment_method"), account=call.account)
    details = method["billing_details"]
    buyer = Buyer(
        country=(details.get("address") or {}).get("country") or "US", email=details["email"], name=details["name"]
    )
    pay_with(world, session, method, buyer)
    delayed = method["_behaviour"]["delayed"]
    if delayed is not None:
        plan_settling(world, session, succeeds=delayed == "succeeds")
    return _page(session)


def plan_settling(world: World, session: Object, *, succeeds: bool, seconds: float = payments.DELAYED_SECONDS) -> None:
    world.timeline.plan(world.now() + seconds, lambda: settle(world, session, succeeds=succeeds))


def _page(session: Object) -> Object:
    return {
        "id": session["id"].replace("cs_test", "ppage"),
        "object": "checkout.session",
        "session_id": session["id"],
        "payment_status": session["payment_status"],
        "status": session["status"],
    }
