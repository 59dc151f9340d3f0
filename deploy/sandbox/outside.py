"""The part of the control API that stands for people, banks and card networks: they pay, dispute, judge and fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from annotated_types import Interval, Len

from promptforge.deploy.sandbox import accounts, books, disputes, payouts, refunds, sessions, subscriptions
from promptforge.deploy.sandbox.control import Action, Controls, Order, Strict, anywhere
from promptforge.deploy.sandbox.customers import Behaviour
from promptforge.deploy.sandbox.refusals import Object, Refused, declined_by_rule
from promptforge.deploy.sandbox.taxes import Buyer
from promptforge.deploy.sandbox.world import World

controls = Controls()
BodyT = TypeVar("BodyT")


def _to(kind: str, path: str, body: type[BodyT]) -> Callable[[Callable[[World, Object, BodyT], None]], Action]:
    """Declares what happens to the object of this kind that the path names; the answer is the object."""

    def declare(happen: Callable[[World, Object, BodyT], None]) -> Action:
        def act(order: Order[BodyT]) -> Object:
            found = anywhere(order.world, kind, order.id)
            happen(order.world, found, order.body)
            return found

        return controls.post(path, body)(act)

    return declare


@dataclass(frozen=True, slots=True)
class Payment(Strict):
    """`outcome`: paid, declined, or delayed (and settled later); `disputed` makes a chargeback follow at once."""

    outcome: Literal["paid", "declined", "delayed"] = "paid"
    country: Annotated[str, Len(2, 2)] = "US"
    email: str | None = None
    name: str | None = None
    card: str | None = None
    card_country: Annotated[str, Len(2, 2)] | None = None
    disputed: bool = False


@_to("checkout.session", "/checkout/{id}/pay", Payment)
def pay_session(world: World, session: Object, body: Payment) -> None:
    behaviour = Behaviour(
        declines="generic_decline" if body.outcome == "declined" else None,
        delayed="succeeds" if body.outcome == "delayed" else None,
        disputes="chargeback" if body.disputed else None,
    )
    buyer = Buyer(body.country.upper(), body.email, body.name, body.card, body.card_country)
    try:
        sessions.pay(world, session, behaviour, buyer)
    except Refused as refused:
        if refused.status != 402:
            raise


@dataclass(frozen=True, slots=True)
class Settlement(Strict):
    succeeds: bool = True


@_to("checkout.session", "/checkout/{id}/settle", Settlement)
def settle_session(world: World, session: Object, body: Settlement) -> None:
    sessions.settle(world, session, succeeds=body.succeeds)


@dataclass(frozen=True, slots=True)
class Reason(Strict):
    reason: str | None = None


@_to("refund", "/refunds/{id}/fail", Reason)
def fail_refund(world: World, refund: Object, body: Reason) -> None:
    refunds.fail(world, refund, body.reason or "expired_or_canceled_card")


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


@_to("dispute", "/disputes/{id}", Judgement)
def judge(world: World, dispute: Object, body: Judgement) -> None:
    if body.outcome == "escalated":
        disputes.escalate(world, dispute)
    else:
        disputes.end(world, dispute, won=body.outcome == "won")


@dataclass(frozen=True, slots=True)
class Cycle(Strict):
    declined: bool = False


@_to("subscription", "/subscriptions/{id}/advance", Cycle)
def advance_subscription(world: World, subscription: Object, body: Cycle) -> None:
    """Begin the next period now."""
    subscriptions.renew(world, subscription, declines=body.declined)


@dataclass(frozen=True, slots=True)
class Bank(Strict):
    bank: str | None = None


@_to("account", "/accounts/{id}/onboard", Bank)
def onboard(world: World, account: Object, body: Bank) -> None:
    accounts.onboard(world, account, bank=body.bank)


@dataclass(frozen=True, slots=True)
class Requirement(Strict):
    due: Annotated[tuple[str, ...], Len(1, 50)] = field(default=("individual.verification.document",))
    reason: str | None = None


@_to("account", "/accounts/{id}/require", Requirement)
def require(world: World, account: Object, body: Requirement) -> None:
    accounts.require(world, account, list(body.due), reason=body.reason)


@_to("account", "/accounts/{id}/bank", Bank)
def change_bank(world: World, account: Object, body: Bank) -> None:
    accounts.set_bank(world, account, body.bank or world.new_id("bank"))


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


@_to("payout", "/payouts/{id}", PayoutEnd)
def end_payout(world: World, payout: Object, body: PayoutEnd) -> None:
    _end_payout(world, payout, body)


def _end_payout(world: World, payout: Object, body: PayoutEnd) -> None:
    if body.outcome == "paid":
        payouts.arrive(world, payout)
    elif body.outcome == "failed":
        payouts.fail(world, payout, body.code)
