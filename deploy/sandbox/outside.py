"""The part of the control API that stands for people, banks and card networks: they pay, dispute, judge and fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval, Len

from promptforge.deploy.sandbox import accounts, books, disputes, payouts, refunds, sessions, subscriptions
from promptforge.deploy.sandbox.control import Controls, Order, Strict, anywhere
from promptforge.deploy.sandbox.customers import Behaviour
from promptforge.deploy.sandbox.refusals import Object, Refused, declined_by_rule
from promptforge.deploy.sandbox.taxes import Buyer
from promptforge.deploy.sandbox.world import World

controls = Controls()


@dataclass(frozen=True, slots=True)
class Payment(Strict):
    """`outcome`: paid, declined, or delayed (and settled later); `disputed` makes a chargeback follow at once."""

    outcome: Literal["paid", "declined", "delayed"] = "paid"
    country: Annotated[str, Len(2, 2)] = "US"
    email: str | None = None
    name: str | None = None
    card: str | None = None
    disputed: bool = False


@controls.post("/checkout/{id}/pay", Payment)
def pay_session(order: Order[Payment]) -> Object:
    session = anywhere(order.world, "checkout.session", order.id)
    behaviour = Behaviour(
        declines="generic_decline" if order.body.outcome == "declined" else None,
        delayed="succeeds" if order.body.outcome == "delayed" else None,
        disputes="chargeback" if order.body.disputed else None,
    )
    try:
        sessions.pay(
            order.world,
            session,
            behaviour,
            Buyer(order.body.country.upper(), order.body.email, order.body.name, order.body.card),
        )
    except Refused as refused:
        if refused.status != 402:
            raise
    return session


@dataclass(frozen=True, slots=True)
class Settlement(Strict):
    succeeds: bool = True


@controls.post("/checkout/{id}/settle", Settlement)
def settle_session(order: Order[Settlement]) -> Object:
    session = anywhere(order.world, "checkout.session", order.id)
    sessions.settle(order.world, session, succeeds=order.body.succeeds)
    return session


@dataclass(frozen=True, slots=True)
class Reason(Strict):
    reason: str | None = None


@controls.post("/refunds/{id}/fail", Reason)
def fail_refund(order: Order[Reason]) -> Object:
    refund = anywhere(order.world, "refund", order.id)
    refunds.fail(order.world, refund, order.body.reason or "expired_or_canceled_card")
    return refund


@dataclass(frozen=True, slots=True)
class Funds(Strict):
    amount: Annotated[int, Interval(ge=1, le=10**12)]
    currency: str = "usd"


@controls.post("/funds", Funds)
def add_funds(order: Order[Funds]) -> Object:
    """Gives the platform money to transfer."""
    world = order.world
    books.move(world, "topup", order.body.amount, order.body.currency.lower(), source=world.new_id("tu"))
    return books.balance(world, None)


@dataclass(frozen=True, slots=True)
class NewDispute(Strict):
    charge: str
    inquiry: bool = False
    amount: Annotated[int, Interval(ge=1, le=10**9)] | None = None
    reason: str = "fraudulent"


@controls.post("/disputes", NewDispute)
def open_dispute(order: Order[NewDispute]) -> Object:
    charge = anywhere(order.world, "charge", order.body.charge)
    if charge["status"] != "succeeded":
        raise declined_by_rule("Only a charge that succeeded can be disputed.")
    return disputes.open_dispute(
        order.world, charge, inquiry=order.body.inquiry, amount=order.body.amount, reason=order.body.reason
    )


@dataclass(frozen=True, slots=True)
class Judgement(Strict):
    outcome: Literal["won", "lost", "closed", "escalated"]


@controls.post("/disputes/{id}", Judgement)
def judge(order: Order[Judgement]) -> Object:
    dispute = anywhere(order.world, "dispute", order.id)
    if order.body.outcome == "escalated":
        disputes.escalate(order.world, dispute)
    else:
        disputes.end(order.world, dispute, won=order.body.outcome == "won")
    return dispute


@dataclass(frozen=True, slots=True)
class Cycle(Strict):
    declined: bool = False


@controls.post("/subscriptions/{id}/advance", Cycle)
def advance_subscription(order: Order[Cycle]) -> Object:
    """Begin the next period now."""
    subscription = anywhere(order.world, "subscription", order.id)
    subscriptions.renew(order.world, subscription, declines=order.body.declined)
    return subscription


@dataclass(frozen=True, slots=True)
class Bank(Strict):
    bank: str | None = None


@controls.post("/accounts/{id}/onboard", Bank)
def onboard(order: Order[Bank]) -> Object:
    account = order.world.get("account", order.id)
    accounts.onboard(order.world, account, bank=order.body.bank)
    return account


@dataclass(frozen=True, slots=True)
class Requirement(Strict):
    due: Annotated[tuple[str, ...], Len(1, 50)] = field(default=("individual.verification.document",))
    reason: str | None = None


@controls.post("/accounts/{id}/require", Requirement)
def require(order: Order[Requirement]) -> Object:
    account = order.world.get("account", order.id)
    accounts.require(order.world, account, list(order.body.due), reason=order.body.reason)
    return account


@controls.post("/accounts/{id}/bank", Bank)
def change_bank(order: Order[Bank]) -> Object:
    account = order.world.get("account", order.id)
    accounts.set_bank(order.world, account, order.body.bank or order.world.new_id("bank"))
    return account


@dataclass(frozen=True, slots=True)
class PayoutEnd(Strict):
    outcome: Literal["pending", "paid", "failed"] = "paid"
    code: Literal["account_closed", "could_not_process", "no_account"] = "account_closed"


@controls.post("/accounts/{id}/payout", PayoutEnd)
def pay_out(order: Order[PayoutEnd]) -> Object:
    """Stripe's automatic payout of all that the account has in its own currency."""
    world, account = order.world, order.world.get("account", order.id)
    currency = account["default_currency"]
    amount = books.available(world, currency, account=account["id"])
    if amount <= 0:
        raise declined_by_rule("There is nothing to pay out.", code="balance_insufficient")
    payout = payouts.pay_out(world, amount, currency, account=account["id"], automatic=True)
    _end_payout(world, payout, order.body)
    return payout


@controls.post("/payouts/{id}", PayoutEnd)
def end_payout(order: Order[PayoutEnd]) -> Object:
    payout = anywhere(order.world, "payout", order.id)
    _end_payout(order.world, payout, order.body)
    return payout


def _end_payout(world: World, payout: Object, body: PayoutEnd) -> None:
    if body.outcome == "paid":
        payouts.arrive(world, payout)
    elif body.outcome == "failed":
        payouts.fail(world, payout, body.code)
