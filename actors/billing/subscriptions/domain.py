"""A subscription, how Stripe's words for its state are read, and the plans for sale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.billing.beginning import KEY_LIVES
from promptforge.actors.billing.packs import CreditPack
from promptforge.actors.billing.subscriptions.messages import SubscriptionState, SubscriptionView
from promptforge.actors.billing.terms import Waiver
from promptforge.core.amounts import MILLI

DEFAULT_PLANS = (
    CreditPack("monthly_1000", 1000 * MILLI, 50 * MILLI, 1000),
    CreditPack("monthly_5000", 5000 * MILLI, 250 * MILLI, 5000),
)
"""A plan is a pack that is paid for, and comes, every month."""

_STATES: Mapping[str, SubscriptionState] = {
    "incomplete": SubscriptionState.INCOMPLETE,
    "incomplete_expired": SubscriptionState.CANCELED,
    "trialing": SubscriptionState.ACTIVE,
    "active": SubscriptionState.ACTIVE,
    "past_due": SubscriptionState.PAST_DUE,
    "unpaid": SubscriptionState.UNPAID,
    "paused": SubscriptionState.UNPAID,
    "canceled": SubscriptionState.CANCELED,
}
GOING_ON = frozenset({SubscriptionState.ACTIVE, SubscriptionState.PAST_DUE, SubscriptionState.UNPAID})


def state_of(status: str) -> SubscriptionState:
    """Stripe's status as ours. Raises `KeyError` for one that its API of this version has not got."""
    return _STATES[status]


@dataclass(frozen=True, slots=True)
class Subscription:
    """`plan` is a snapshot: what the subscriber was promised. `stripe_id` is known once the page was paid."""

    id: str
    user_id: str
    plan: CreditPack
    idempotency_key: str
    state: SubscriptionState
    customer_id: str | None
    session_id: str | None
    stripe_id: str | None
    url: str | None
    paid_until: datetime | None
    ends_at: datetime | None
    created_at: datetime
    waiver: Waiver | None = None

    @property
    def failed(self) -> bool:
        return self.state is SubscriptionState.FAILED

    @property
    def page_passes_at(self) -> datetime:
        """While its key can be sent again; after that there is no page that could still be paid."""
        return self.created_at + KEY_LIVES

    def view(self) -> SubscriptionView:
        return SubscriptionView(
            id=self.id,
            state=self.state,
            plan=self.plan.view(),
            url=self.url if self.state is SubscriptionState.OPEN else None,
            paid_until=self.paid_until,
            ends_at=self.ends_at,
            created_at=self.created_at,
        )

    def mismatch(self, *, subtotal: int, currency: str, customer_id: str) -> str | None:
        """Why an invoice with these figures is not for a month of this subscription; None where it is."""
        if customer_id != self.customer_id:
            return f"the customer is {customer_id}, and the subscription's is {self.customer_id}"
        if currency != self.plan.currency:
            return f"the currency is {currency}, and the plan's is {self.plan.currency}"
        if subtotal != self.plan.price_minor_units:
            return f"the subtotal is {subtotal}, and the plan's price is {self.plan.price_minor_units}"
        return None


def begin(subscription_id: str, plan: CreditPack, waiver: Waiver, *, user_id: str, customer_id: str) -> Subscription:
    """One of which Stripe has not heard."""
    return Subscription(
        id=subscription_id,
        user_id=user_id,
        plan=plan,
        idempotency_key=f"subscription:{subscription_id}",
        state=SubscriptionState.CREATING,
        customer_id=customer_id,
        session_id=None,
        stripe_id=None,
        url=None,
        paid_until=None,
        ends_at=None,
        created_at=waiver.accepted_at,
        waiver=waiver,
    )
