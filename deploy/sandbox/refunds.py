"""Refunds: never more than was charged, and they can still fail after they have succeeded."""

from __future__ import annotations

from promptforge.deploy.sandbox import books
from promptforge.deploy.sandbox.customers import behaviour_of
from promptforge.deploy.sandbox.lists import listed, whole
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, declined_by_rule, invalid
from promptforge.deploy.sandbox.world import Call, World, changed

operations = Operations()
REASONS = ("duplicate", "fraudulent", "requested_by_customer")
LATER_SECONDS = 3
"""When what Stripe's test cards for refunds are for happens."""


@operations.post(
    "/refunds", "refunds.create", known="amount charge currency metadata payment_intent reason instructions_email"
)
def create_refund(call: Call) -> Object:
    charge = _charge_of(call)
    reason = call.params.choice("reason", REASONS) if "reason" in call.params else None
    amount = _check(charge, call.params.find_integer("amount"))
    method = call.world.find("payment_method", charge["payment_method"] or "", account=call.account)
    outcome = behaviour_of(method).refunds if method is not None else "succeed"
    return refund(call.world, charge, amount, reason=reason, metadata=call.params.metadata(), outcome=outcome)


def _charge_of(call: Call) -> Object:
    params = call.params
    if params.find("charge") is not None:
        return call.named("charge", "charge")
    if params.find("payment_intent") is None:
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    intent = call.named("payment_intent", "payment_intent")
    if intent["latest_charge"] is None:
        raise declined_by_rule(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
    return call.world.get("charge", intent["latest_charge"], account=call.account)


def _check(charge: Object, amount: int | None) -> int:
    """How much is refunded. Raises `Refused`."""
    left: int = charge["amount_captured"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise declined_by_rule(f"Charge {charge['id']} has not succeeded and cannot be refunded.", param="charge")
    if charge["disputed"] and not charge.get("_refundable", False):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise declined_by_rule(message, code="charge_disputed")
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise declined_by_rule(message, code="charge_already_refunded")
    if amount is None:
        return left
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > left:
        message = (
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}), in the minor unit of "
            f"{charge['currency']}"
        )
        raise declined_by_rule(message, param="amount")
    return amount


def refund(
    world: World,
    charge: Object,
    amount: int,
    *,
    reason: str | None = None,
    metadata: dict[str, str] | None = None,
    outcome: str = "succeed",
) -> Object:
    """Refund a charge: `outcome` is succeed, pend (and succeed later) or fail (after it has succeeded)."""
    account = world.owner("charge", charge["id"])
    made: Object = {
        "id": world.new_id("re" if charge["id"].startswith("ch_") else "pyr"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": world.now(),
        "currency": charge["currency"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": metadata or {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending" if outcome == "pend" else "succeeded",
        "transfer_reversal": None,
    }
    movement = books.move(world, "refund", -amount, charge["currency"], source=made["id"], account=account)
    made["balance_transaction"] = movement["id"]
    world.add(made, account=account)
    refunded = charge["amount_refunded"] + amount
    previous = changed(charge, {"amount_refunded": refunded, "refunded": refunded == charge["amount_captured"]})
    world.emit("charge.refunded", charge, account=account, previous=previous)
    world.emit("refund.created", made, account=account)
    if outcome != "succeed":
        ends = succeed if outcome == "pend" else fail
        world.timeline.plan(world.now() + LATER_SECONDS, lambda: ends(world, made))
    return made


def succeed(world: World, refunded: Object) -> None:
    if refunded["status"] == "pending":
        _update(world, refunded, {"status": "succeeded"})


def fail(world: World, refunded: Object, reason: str = "expired_or_canceled_card") -> None:
    """The money comes back: the bank could not give it to the customer. Does nothing to a refund that has ended so."""
    if refunded["status"] in {"failed", "canceled"}:
        return
    _give_back(world, refunded, {"status": "failed", "failure_reason": reason})
    world.emit("refund.failed", refunded, account=world.owner("refund", refunded["id"]))


def _give_back(world: World, refunded: Object, changes: Object) -> None:
    account = world.owner("refund", refunded["id"])
    charge = world.get("charge", refunded["charge"], account=account)
    movement = books.move(
        world, "refund_failure", refunded["amount"], refunded["currency"], source=refunded["id"], account=account
    )
    charge |= {"amount_refunded": charge["amount_refunded"] - refunded["amount"], "refunded": False}
    _update(world, refunded, {**changes, "failure_balance_transaction": movement["id"]})


def _update(world: World, refunded: Object, changes: Object) -> None:
    account = world.owner("refund", refunded["id"])
    previous = changed(refunded, changes)
    for kind in ("charge.refund.updated", "refund.updated"):
        world.emit(kind, refunded, account=account, previous=previous)


@operations.post("/refunds/{id}", "refunds.update", known="metadata")
def update_refund(call: Call) -> Object:
    found = call.get("refund")
    _update(call.world, found, {"metadata": call.params.metadata(found["metadata"])})
    return found


@operations.post("/refunds/{id}/cancel", "refunds.cancel")
def cancel_refund(call: Call) -> Object:
    found = call.get("refund")
    if found["status"] != "pending":
        raise declined_by_rule(f"Refund {found['id']} cannot be canceled: its status is {found['status']}.")
    _give_back(call.world, found, {"status": "canceled"})
    return found


@operations.get("/refunds/{id}", "refunds.retrieve")
def retrieve_refund(call: Call) -> Object:
    return call.get("refund")


@operations.list("/refunds", "refunds.list", known="charge payment_intent")
def list_refunds(call: Call) -> Object:
    return listed(call, "refund", {"charge": "charge", "payment_intent": "payment_intent"})


def of_charge(world: World, charge: Object) -> Object:
    """A charge's refunds, which it shows when asked to."""
    account = world.owner("charge", charge["id"])
    mine = [one for one in world.newest_first("refund", account=account) if one["charge"] == charge["id"]]
    return whole(mine[:10], f"/v1/charges/{charge['id']}/refunds")
