"""The operations on invoices, and on items that wait for one."""

from __future__ import annotations

from promptforge.deploy.sandbox import invoices, subscriptions
from promptforge.deploy.sandbox.currencies import read_currency
from promptforge.deploy.sandbox.customers import use_payment_method
from promptforge.deploy.sandbox.invoices import Billing
from promptforge.deploy.sandbox.lists import listed
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, declined_by_rule
from promptforge.deploy.sandbox.world import Call, changed

operations = Operations()


@operations.post("/invoiceitems", "invoiceitems.create", known="amount currency customer description metadata")
def create_item(call: Call) -> Object:
    world, params = call.world, call.params
    now = world.now()
    made: Object = {
        "id": world.new_id("ii"),
        "object": "invoiceitem",
        "amount": params.integer("amount"),
        "currency": read_currency(params),
        "customer": call.named("customer", "customer")["id"],
        "date": now,
        "description": params.find("description"),
        "invoice": None,
        "livemode": False,
        "metadata": params.metadata(),
        "period": {"start": now, "end": now},
        "quantity": 1,
    }
    world.emit("invoiceitem.created", world.add(made, account=call.account), account=call.account)
    return made


@operations.post(
    "/invoices",
    "invoices.create",
    known="auto_advance collection_method currency customer description metadata pending_invoice_items_behavior",
)
def create_invoice(call: Call) -> Object:
    world, now = call.world, call.world.now()
    customer = call.named("customer", "customer")
    waiting = [
        one
        for one in world.newest_first("invoiceitem", account=call.account)
        if one["customer"] == customer["id"] and one["invoice"] is None
    ]
    lines = [
        invoices.plain_line(world, (one["amount"], one["currency"]), one["description"], (now, now)) for one in waiting
    ]
    currency = waiting[0]["currency"] if waiting else "usd"
    invoice = invoices.new_invoice(
        world, Billing(customer["id"], currency, "manual", (now, now)), lines, account=call.account
    )
    for one in waiting:
        one["invoice"] = invoice["id"]
    invoice |= {"description": call.params.find("description"), "metadata": call.params.metadata()}
    return invoice


@operations.post("/invoices/{id}/finalize", "invoices.finalize", known="auto_advance")
def finalize_invoice(call: Call) -> Object:
    invoice = call.get("invoice")
    if invoice["status"] != "draft":
        raise declined_by_rule("This invoice is already finalized.", code="invoice_not_editable")
    invoices.finalize(call.world, invoice)
    return invoice


@operations.post("/invoices/{id}/pay", "invoices.pay", known="off_session payment_method")
def pay_invoice(call: Call) -> Object:
    world, invoice = call.world, call.get("invoice")
    if invoice["status"] == "draft":
        invoices.finalize(world, invoice)
    if invoice["status"] != "open":
        raise declined_by_rule(f"Invoice is already {invoice['status']}", code="invoice_not_editable")
    subscription = subscriptions.of_invoice(world, invoice)
    if call.params.find("payment_method") is not None:
        method: Object | None = use_payment_method(world, call.params.text("payment_method"), account=call.account)
    elif subscription is not None:
        method = subscriptions.method_of(world, subscription)
    else:
        method = invoices.default_method(world, invoice["customer"], account=call.account)
    invoices.pay(world, invoice, method)
    if subscription is not None:
        subscriptions.paid_after_all(world, subscription, invoice)
    return invoice


@operations.post("/invoices/{id}/void", "invoices.void")
def void_invoice(call: Call) -> Object:
    invoice = call.get("invoice")
    if invoice["status"] != "open":
        raise declined_by_rule("You can only void open invoices", code="invoice_not_editable")
    transitions = {**invoice["status_transitions"], "voided_at": call.world.now()}
    previous = changed(invoice, {"status": "void", "status_transitions": transitions})
    call.world.emit("invoice.voided", invoice, account=call.account, previous=previous)
    return invoice


@operations.get("/invoices/{id}", "invoices.retrieve")
def retrieve_invoice(call: Call) -> Object:
    return call.get("invoice")


@operations.list("/invoices", "invoices.list", known="customer status subscription")
def list_invoices(call: Call) -> Object:
    within = "parent.subscription_details.subscription"
    return listed(call, "invoice", {"customer": "customer", "status": "status", "subscription": within})


@operations.list("/invoice_payments", "invoice_payments.list", known="invoice payment status")
def list_payments(call: Call) -> Object:
    items = list(call.world.newest_first("invoice_payment", account=call.account))
    if (intent := call.params.part("payment").find("payment_intent")) is not None:
        items = [one for one in items if one["payment"]["payment_intent"] == intent]
    return listed(call, "invoice_payment", {"invoice": "invoice", "status": "status"}, items=items)
