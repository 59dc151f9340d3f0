"""Transfers from the platform to connected accounts, and their reversals."""

from __future__ import annotations

from promptforge.deploy.sandbox import books
from promptforge.deploy.sandbox.currencies import check_payout, read_currency
from promptforge.deploy.sandbox.lists import listed, whole
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, declined_by_rule, invalid
from promptforge.deploy.sandbox.world import Call, World, changed

operations = Operations()


@operations.post(
    "/transfers",
    "transfers.create",
    known="amount currency description destination metadata source_transaction source_type transfer_group",
)
def create_transfer(call: Call) -> Object:
    world, params = call.world, call.params
    currency = read_currency(params)
    amount = check_payout(params.integer("amount"), currency, param="amount")
    account = call.named("account", "destination")
    if account["capabilities"].get("transfers") != "active":
        message = (
            "Your destination account needs to have at least one of the following capabilities enabled: transfers, "
            "crypto_transfers, legacy_payments"
        )
        raise declined_by_rule(message, code="insufficient_capabilities_for_transfer")
    if books.available(world, currency) < amount:
        message = (
            "You have insufficient available funds in your Stripe account. Try adding funds directly to your available "
            "balance by creating Charges using the 4000000000000077 test card."
        )
        raise declined_by_rule(message, code="balance_insufficient")
    transfer = _new_transfer(call, account["id"], amount, currency)
    payment = _payment(world, transfer, account["id"])
    transfer["destination_payment"] = payment["id"]
    movement = books.move(world, "transfer", -amount, currency, source=transfer["id"])
    transfer["balance_transaction"] = movement["id"]
    world.emit("transfer.created", world.add(transfer))
    return transfer


def _new_transfer(call: Call, destination: str, amount: int, currency: str) -> Object:
    world, params = call.world, call.params
    identifier = world.new_id("tr")
    group = params.find("transfer_group")
    source = params.find("source_transaction")
    if source is not None:
        charge = call.named("charge", "source_transaction")
        group = group or charge["transfer_group"] or f"group_{charge['payment_intent']}"
    return {
        "id": identifier,
        "object": "transfer",
        "amount": amount,
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": world.now(),
        "currency": currency,
        "description": params.find("description"),
        "destination": destination,
        "destination_payment": None,
        "livemode": False,
        "metadata": params.metadata(),
        "reversals": whole([], f"/v1/transfers/{identifier}/reversals"),
        "reversed": False,
        "source_transaction": source,
        "source_type": params.find("source_type") or "card",
        "transfer_group": group,
    }


def _payment(world: World, transfer: Object, account: str) -> Object:
    """What the connected account sees of a transfer: a charge of its own."""
    payment: Object = {
        "id": world.new_id("py"),
        "object": "charge",
        "amount": transfer["amount"],
        "amount_captured": transfer["amount"],
        "amount_refunded": 0,
        "balance_transaction": None,
        "captured": True,
        "created": world.now(),
        "currency": transfer["currency"],
        "customer": None,
        "disputed": False,
        "livemode": False,
        "metadata": {},
        "paid": True,
        "payment_intent": None,
        "payment_method": None,
        "refunded": False,
        "source_transfer": transfer["id"],
        "status": "succeeded",
        "transfer_group": transfer["transfer_group"],
    }
    movement = books.move(
        world, "payment", transfer["amount"], transfer["currency"], source=payment["id"], account=account
    )
    payment["balance_transaction"] = movement["id"]
    world.add(payment, account=account)
    world.emit("payment.created", payment, account=account)
    return payment


@operations.get("/transfers/{id}", "transfers.retrieve")
def retrieve_transfer(call: Call) -> Object:
    return call.get("transfer")


@operations.list("/transfers", "transfers.list", known="destination transfer_group")
def list_transfers(call: Call) -> Object:
    return listed(call, "transfer", {"destination": "destination", "transfer_group": "transfer_group"})


@operations.post("/transfers/{id}", "transfers.update", known="description metadata")
def update_transfer(call: Call) -> Object:
    transfer, params = call.get("transfer"), call.params
    changes: Object = {"metadata": params.metadata(transfer["metadata"])}
    if "description" in params:
        changes["description"] = params.find("description")
    previous = changed(transfer, changes)
    call.world.emit("transfer.updated", transfer, previous=previous)
    return transfer


@operations.post(
    "/transfers/{id}/reversals",
    "transfers.reversals.create",
    known="amount description metadata refund_application_fee",
)
def create_reversal(call: Call) -> Object:
    world, transfer = call.world, call.get("transfer")
    left = transfer["amount"] - transfer["amount_reversed"]
    amount = call.params.find_integer("amount")
    amount = left if amount is None else amount
    if left == 0:
        raise declined_by_rule(f"Transfer {transfer['id']} has already been fully reversed.")
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > left:
        message = f"Transfer reversal amount ({amount}) is greater than unreversed amount on transfer ({left})"
        raise declined_by_rule(message, param="amount")
    if books.available(world, transfer["currency"], account=transfer["destination"]) < amount:
        raise declined_by_rule("Insufficient funds in the connected account.", code="balance_insufficient")
    return _reverse(world, transfer, amount, call.params.metadata())


def _reverse(world: World, transfer: Object, amount: int, metadata: dict[str, str]) -> Object:
    currency, account = transfer["currency"], transfer["destination"]
    reversal: Object = {
        "id": world.new_id("trr"),
        "object": "transfer_reversal",
        "amount": amount,
        "balance_transaction": None,
        "created": world.now(),
        "currency": currency,
        "destination_payment_refund": world.new_id("pyr"),
        "metadata": metadata,
        "source_refund": None,
        "transfer": transfer["id"],
    }
    movement = books.move(world, "transfer_refund", amount, currency, source=reversal["id"])
    reversal["balance_transaction"] = movement["id"]
    world.add(reversal)
    back = reversal["destination_payment_refund"]
    books.move(world, "payment_refund", -amount, currency, source=back, account=account)
    reversed_amount = transfer["amount_reversed"] + amount
    reversals = {**transfer["reversals"], "data": [reversal, *transfer["reversals"]["data"]][:10]}
    changes = {
        "amount_reversed": reversed_amount,
        "reversed": reversed_amount == transfer["amount"],
        "reversals": reversals,
    }
    previous = changed(transfer, changes)
    world.emit("transfer.reversed", transfer, previous=previous)
    return reversal


@operations.list("/transfers/{id}/reversals", "transfers.reversals.list")
def list_reversals(call: Call) -> Object:
    transfer = call.get("transfer")
    mine = [one for one in call.world.newest_first("transfer_reversal") if one["transfer"] == transfer["id"]]
    return listed(call, "transfer_reversal", items=mine)
