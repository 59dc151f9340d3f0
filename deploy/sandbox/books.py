"""Balances and the movements that they are made of: every change of a balance is one balance transaction.

A movement is pending until its time and counts as available from then on. The sums are kept beside the movements.
"""

from __future__ import annotations

from promptforge.deploy.sandbox.currencies import read_currency
from promptforge.deploy.sandbox.lists import listed
from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object
from promptforge.deploy.sandbox.world import Call, Funds, World

operations = Operations()

REPORTED_AS = {
    "adjustment": "dispute",
    "charge": "charge",
    "payment": "charge",
    "payment_refund": "refund",
    "payout": "payout",
    "payout_failure": "payout_reversal",
    "refund": "refund",
    "refund_failure": "refund_failure",
    "topup": "topup",
    "transfer": "transfer",
    "transfer_refund": "transfer_reversal",
}


def move(
    world: World,
    kind: str,
    amount: int,
    currency: str,
    *,
    source: str,
    account: str | None = None,
    fee: int = 0,
    pending: bool = False,
    description: str | None = None,
) -> Object:
    """Move `amount` less `fee` (minor units; out of the balance where negative), and answer the movement."""
    now = world.now()
    wait = world.pending_seconds if pending else 0
    net = amount - fee
    details = [
        {"amount": fee, "application": None, "currency": currency, "description": "Stripe fee", "type": "stripe_fee"}
    ]
    movement = world.add(
        {
            "id": world.new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": now + wait,
            "balance_type": "payments",
            "created": now,
            "currency": currency,
            "description": description,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": net,
            "reporting_category": REPORTED_AS[kind],
            "source": source,
            "status": "pending" if wait else "available",
            "type": kind,
        },
        account=account,
    )
    funds = world.funds[account, currency]
    if wait:
        funds.pending += net
        world.timeline.plan(now + wait, lambda: _become_available(funds, movement))
    else:
        funds.available += net
    return movement


def _become_available(funds: Funds, movement: Object) -> None:
    movement["status"] = "available"
    funds.pending -= movement["net"]
    funds.available += movement["net"]


def available(world: World, currency: str, *, account: str | None = None) -> int:
    return world.funds[account, currency].available


def balance(world: World, account: str | None) -> Object:
    held = {currency: funds for (owner, currency), funds in world.funds.items() if owner == account}

    def amounts(kind: str) -> list[Object]:
        sums = {currency: getattr(funds, kind) for currency, funds in sorted(held.items())}
        return [{"amount": n, "currency": currency, "source_types": {"card": n}} for currency, n in sums.items()]

    return {
        "object": "balance",
        "available": amounts("available"),
        "connect_reserved": [],
        "livemode": False,
        "pending": amounts("pending"),
    }


@operations.get("/balance", "balance.retrieve")
def retrieve_balance(call: Call) -> Object:
    return balance(call.world, call.account)


@operations.list("/balance_transactions", "balance_transactions.list", known="currency source type")
def list_movements(call: Call) -> Object:
    filters = {"currency": "currency", "source": "source", "type": "type"}
    return listed(call, "balance_transaction", filters)


@operations.get("/balance_transactions/{id}", "balance_transactions.retrieve")
def retrieve_movement(call: Call) -> Object:
    return call.get("balance_transaction")


@operations.post(
    "/topups", "topups.create", known="amount currency description metadata source statement_descriptor transfer_group"
)
def create_topup(call: Call) -> Object:
    """Adds to the platform's balance at once."""
    world, amount, currency = call.world, call.params.integer("amount"), read_currency(call.params)
    topup: Object = {
        "id": world.new_id("tu"),
        "object": "topup",
        "amount": amount,
        "arrival_date": world.now(),
        "balance_transaction": None,
        "created": world.now(),
        "currency": currency,
        "description": call.params.find("description"),
        "expected_availability_date": world.now(),
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": call.params.metadata(),
        "source": None,
        "statement_descriptor": None,
        "status": "succeeded",
        "transfer_group": call.params.find("transfer_group"),
    }
    topup["balance_transaction"] = move(world, "topup", amount, currency, source=topup["id"])["id"]
    world.emit("topup.created", topup)
    world.emit("topup.succeeded", world.add(topup))
    return topup
