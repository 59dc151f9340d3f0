"""Customers, and how they pay: payment methods with the test behaviours that Stripe gives to some of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from promptforge.deploy.sandbox.lists import listed
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, no_such
from promptforge.deploy.sandbox.world import Call, World, changed

operations = Operations()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to a payment. `declines`: why; `delayed`: what comes of it later; `disputes`: of what kind."""

    declines: str | None = None
    delayed: str | None = None
    disputes: str | None = None
    available_at_once: bool = False
    refunds: str = "succeed"


BEHAVIOURS = {
    "pm_card_bypassPending": Behaviour(available_at_once=True),
    "pm_card_chargeCustomerFail": Behaviour(declines="generic_decline"),
    "pm_card_chargeDeclined": Behaviour(declines="generic_decline"),
    "pm_card_visa_chargeDeclined": Behaviour(declines="generic_decline"),
    "pm_card_chargeDeclinedExpiredCard": Behaviour(declines="expired_card"),
    "pm_card_chargeDeclinedInsufficientFunds": Behaviour(declines="insufficient_funds"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Behaviour(declines="insufficient_funds"),
    "pm_card_createDispute": Behaviour(disputes="chargeback"),
    "pm_card_createDisputeInquiry": Behaviour(disputes="inquiry"),
    "pm_card_pendingRefund": Behaviour(refunds="pend"),
    "pm_card_refundFail": Behaviour(refunds="fail"),
    "tok_chargeDeclined": Behaviour(declines="generic_decline"),
    "tok_createDispute": Behaviour(disputes="chargeback"),
}
"""Of Stripe's test payment methods (docs.stripe.com/testing); the others simply pay."""
IBANS = {
    "AT611904300234573201": Behaviour(delayed="succeeds"),
    "IT40S0542811101000000123456": Behaviour(delayed="succeeds"),
    "AT861904300235473202": Behaviour(delayed="fails"),
    "IT60X0542811101000000123456": Behaviour(delayed="fails"),
}
_MAGIC = ("pm_card_", "pm_usBankAccount_", "pm_sepaDebit_")
OF_CUSTOMERS = (
    "address balance description email invoice_settings metadata name payment_method phone preferred_locales shipping "
    "source tax tax_exempt tax_id_data test_clock"
)


def make_payment_method(
    world: World,
    behaviour: Behaviour,
    *,
    card: str,
    kind: str = "card",
    country: str = "US",
    account: str | None = None,
    **details: object,
) -> Object:
    """`card` names the card (or bank account): what is paid with the same one has the same fingerprint."""
    fingerprint = hashlib.sha256(card.encode()).hexdigest()[:16]
    method: Object = {
        "id": world.new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None, **details},
        "created": world.now(),
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
        "_behaviour": asdict(behaviour),
    }
    if kind == "card":
        method["card"] = {
            "brand": "visa", "checks": None, "country": country, "display_brand": "visa", "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": fingerprint, "funding": "credit", "last4": "4242", "networks": None, "wallet": None,
        }  # fmt: skip
    else:
        method[kind] = {"country": "AT", "fingerprint": fingerprint, "last4": "3201"}
    return world.add(method, account=account)


def behaviour_of(method: Object) -> Behaviour:
    return Behaviour(**method["_behaviour"])


def use_payment_method(
    world: World, identifier: str, *, account: str | None = None, param: str = "payment_method"
) -> Object:
    """The payment method; of Stripe's names for test cards a new one. Raises `Refused`."""
    found = world.find("payment_method", identifier, account=account)
    if found is not None:
        return found
    if not identifier.startswith(_MAGIC):
        raise no_such("PaymentMethod", identifier, param=param)
    behaviour = BEHAVIOURS.get(identifier, Behaviour())
    return make_payment_method(world, behaviour, card=identifier, account=account)


@operations.post("/payment_methods", "payment_methods.create", known="billing_details card metadata sepa_debit type")
def create_payment_method(call: Call) -> Object:
    kind = call.params.choice("type", ("card", "sepa_debit", "us_bank_account"), "card")
    part = call.params.part(kind)
    named = part.find("token") or part.find("iban") or part.find("number") or "tok_visa"
    behaviour = BEHAVIOURS.get(named) or IBANS.get(named) or Behaviour(delayed="succeeds" if kind != "card" else None)
    method = make_payment_method(call.world, behaviour, card=named, kind=kind, account=call.account)
    method["billing_details"] |= call.params.part("billing_details").tree
    method["metadata"] = call.params.metadata()
    return method


@operations.get("/payment_methods/{id}", "payment_methods.retrieve")
def retrieve_payment_method(call: Call) -> Object:
    return call.get("payment_method")


@operations.post("/payment_methods/{id}/attach", "payment_methods.attach", known="customer")
def attach(call: Call) -> Object:
    customer = call.named("customer", "customer")
    method = use_payment_method(call.world, call.ids["id"], account=call.account, param="id")
    method["customer"] = customer["id"]
    call.world.emit("payment_method.attached", method, account=call.account)
    return method


@operations.post("/payment_methods/{id}/detach", "payment_methods.detach")
def detach(call: Call) -> Object:
    method = call.get("payment_method")
    previous = changed(method, {"customer": None})
    call.world.emit("payment_method.detached", method, account=call.account, previous=previous)
    return method


@operations.list("/payment_methods", "payment_methods.list", known="customer type")
def list_payment_methods(call: Call) -> Object:
    return listed(call, "payment_method", {"customer": "customer", "type": "type"})


@operations.post("/customers", "customers.create", known=OF_CUSTOMERS)
def create_customer(call: Call) -> Object:
    world, params = call.world, call.params
    customer = new_customer(world, account=call.account, email=params.find("email"), name=params.find("name"))
    customer["description"] = params.find("description")
    _take(call, customer)
    world.emit("customer.created", customer, account=call.account)
    return customer


def new_customer(
    world: World, *, account: str | None = None, email: str | None = None, name: str | None = None
) -> Object:
    made: Object = {
        "id": world.new_id("cus", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": world.now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": email,
        "invoice_prefix": world.new_id("I", 7)[2:].upper(),
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": False,
        "metadata": {},
        "name": name,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    return world.add(made, account=account)


def _take(call: Call, customer: Object) -> Object:
    """Write what the request says about a customer; answers what was there before."""
    params = call.params
    changes: Object = {name: params.find(name) for name in ("email", "name", "description", "phone") if name in params}
    changes |= {name: params.part(name).tree or None for name in ("address", "shipping") if name in params}
    if "metadata" in params:
        changes["metadata"] = params.metadata(customer["metadata"])
    settings = params.part("invoice_settings")
    if (default := settings.find("default_payment_method") or params.find("payment_method")) is not None:
        method = use_payment_method(call.world, default, account=call.account)
        method["customer"] = customer["id"]
        changes["invoice_settings"] = {**customer["invoice_settings"], "default_payment_method": method["id"]}
    return changed(customer, changes)


@operations.post("/customers/{id}", "customers.update", known=OF_CUSTOMERS)
def update_customer(call: Call) -> Object:
    customer = call.get("customer")
    previous = _take(call, customer)
    call.world.emit("customer.updated", customer, account=call.account, previous=previous)
    return customer


@operations.get("/customers/{id}", "customers.retrieve")
def retrieve_customer(call: Call) -> Object:
    return call.get("customer")


@operations.delete("/customers/{id}", "customers.delete")
def delete_customer(call: Call) -> Object:
    customer = call.get("customer")
    call.world.remove("customer", customer["id"])
    call.world.emit("customer.deleted", customer, account=call.account)
    return {"id": customer["id"], "object": "customer", "deleted": True}


@operations.list("/customers", "customers.list", known="email")
def list_customers(call: Call) -> Object:
    return listed(call, "customer", {"email": "email"})
