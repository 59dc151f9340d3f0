"""Payouts from a Stripe balance to a bank account: the platform's, or (with `Stripe-Account`) a connected account's."""

from __future__ import annotations

from promptforge.deploy.sandbox import books
from promptforge.deploy.sandbox.currencies import check_payout, read_currency
from promptforge.deploy.sandbox.lists import listed
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, declined_by_rule
from promptforge.deploy.sandbox.world import Call, World, changed

operations = Operations()
ARRIVES_SECONDS = 2 * 86_400
FAILURES = {
    "account_closed": "The bank account has been closed.",
    "could_not_process": "The bank could not process this payout.",
    "no_account": "The bank account details on file are probably incorrect.",
}
UNDER_WAY = frozenset({"pending", "in_transit"})


@operations.post(
    "/payouts",
    "payouts.create",
    known="amount currency description destination metadata method source_type statement_descriptor",
)
def create_payout(call: Call) -> Object:
    world, params = call.world, call.params
    currency = read_currency(params)
    amount = check_payout(params.integer("amount"), currency, param="amount")
    if call.account is not None and not world.get("account", call.account)["payouts_enabled"]:
        raise declined_by_rule("Payouts are not enabled for this account.", code="payouts_not_allowed")
    payout = pay_out(world, amount, currency, account=call.account, metadata=params.metadata())
    payout["description"] = params.find("description")
    return payout


def pay_out(
    world: World,
    amount: int,
    currency: str,
    *,
    account: str | None = None,
    automatic: bool = False,
    metadata: dict[str, str] | None = None,
) -> Object:
    """Raises `Refused` where the available balance does not hold as much."""
    if books.available(world, currency, account=account) < amount:
        raise declined_by_rule("You have insufficient funds in your Stripe account.", code="balance_insufficient")
    arrival = world.now() + ARRIVES_SECONDS
    payout: Object = {
        "id": world.new_id("po"),
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": arrival,
        "automatic": automatic,
        "balance_transaction": None,
        "created": world.now(),
        "currency": currency,
        "description": "STRIPE PAYOUT" if automatic else None,
        "destination": _bank_of(world, account),
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": metadata or {},
        "method": "standard",
        "original_payout": None,
        "reconciliation_status": "completed" if automatic else "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "pending",
        "trace_id": None,
        "type": "bank_account",
    }
    movement = books.move(world, "payout", -amount, currency, source=payout["id"], account=account)
    payout["balance_transaction"] = movement["id"]
    world.add(payout, account=account)
    world.emit("payout.created", payout, account=account)
    world.timeline.plan(arrival, lambda: arrive(world, payout))
    return payout


def _bank_of(world: World, account: str | None) -> str | None:
    if account is None:
        return None
    banks = world.get("account", account)["external_accounts"]["data"]
    return banks[0]["id"] if banks else None


def arrive(world: World, payout: Object) -> None:
    """Does nothing to a payout that has ended."""
    if payout["status"] in UNDER_WAY:
        _update(world, payout, "payout.paid", {"status": "paid"})


def fail(world: World, payout: Object, code: str = "account_closed") -> None:
    """The money comes back to the balance; that can happen days after it was said to be paid."""
    if payout["status"] not in UNDER_WAY | {"paid"}:
        return
    account = world.owner("payout", payout["id"])
    movement = books.move(
        world, "payout_failure", payout["amount"], payout["currency"], source=payout["id"], account=account
    )
    changes = {
        "status": "failed",
        "failure_code": code,
        "failure_message": FAILURES.get(code, FAILURES["could_not_process"]),
        "failure_balance_transaction": movement["id"],
    }
    _update(world, payout, "payout.failed", changes)


def _update(world: World, payout: Object, kind: str, changes: Object) -> None:
    previous = changed(payout, changes)
    world.emit(kind, payout, account=world.owner("payout", payout["id"]), previous=previous)


@operations.post("/payouts/{id}/cancel", "payouts.cancel")
def cancel_payout(call: Call) -> Object:
    payout = call.get("payout")
    if payout["status"] != "pending":
        raise declined_by_rule(f"Payouts can only be canceled while pending; this one is {payout['status']}.")
    movement = books.move(
        call.world, "payout_failure", payout["amount"], payout["currency"], source=payout["id"], account=call.account
    )
    changes = {"status": "canceled", "failure_balance_transaction": movement["id"]}
    _update(call.world, payout, "payout.canceled", changes)
    return payout


@operations.post("/payouts/{id}", "payouts.update", known="metadata")
def update_payout(call: Call) -> Object:
    payout = call.get("payout")
    _update(call.world, payout, "payout.updated", {"metadata": call.params.metadata(payout["metadata"])})
    return payout


@operations.get("/payouts/{id}", "payouts.retrieve")
def retrieve_payout(call: Call) -> Object:
    return call.get("payout")


@operations.list("/payouts", "payouts.list", known="destination status")
def list_payouts(call: Call) -> Object:
    return listed(call, "payout", {"destination": "destination", "status": "status"})
