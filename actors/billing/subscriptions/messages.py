"""Subscriptions, as everyone else sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len

from promptforge.actors.billing.messages import CreditPackView, WaiverVersion
from promptforge.core.messages import Command, Query, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page

SubscriptionId = Annotated[str, Len(1, 64)]


class SubscriptionState(StrEnum):
    """`creating`: whether the payment page exists is not known; `open`: it waits; `failed`: there is none; `expired`:
    nobody paid in time, or another page took its place.

    The others are Stripe's: `past_due` is being charged again, `unpaid` is not any more, `canceled` has ended.
    """

    CREATING = "creating"
    OPEN = "open"
    FAILED = "failed"
    EXPIRED = "expired"
    INCOMPLETE = "incomplete"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class PlansView:
    """What can be subscribed to now, the smallest first. Prices and credits are those of one month."""

    plans: tuple[CreditPackView, ...]


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """A subscription; `plan` is as it was when it began. `url` is the payment page while there is something to pay.

    The credits of a month come with its paid invoice. `ends_at`: it was cancelled, and ends with the paid month.
    """

    id: str
    state: SubscriptionState
    plan: CreditPackView
    url: str | None
    paid_until: datetime | None
    ends_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PortalView:
    """Stripe's page where one changes cards and finds invoices; it is good for a few minutes."""

    url: str


@public
class ListPlans(Query[PlansView]):
    """List the plans that can be subscribed to, the smallest first."""


@requires(scope="billing:write", fresh=True)
class CreateSubscription(Command[SubscriptionView]):
    """Subscribe to a plan: answers the address of the payment page. The price is the server's.

    One at a time: the page of another plan that was not paid yet passes. `withdrawal_waiver` is the version of the text
    that the subscriber was shown and has agreed to.
    """

    plan_id: Annotated[str, Len(1, 64)]
    withdrawal_waiver: WaiverVersion


@requires(scope="billing:read")
class ListSubscriptions(Query[Page[SubscriptionView]]):
    """List your subscriptions, newest first."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="billing:read")
class GetSubscription(Query[SubscriptionView]):
    """Read one of your own subscriptions."""

    subscription_id: SubscriptionId


@requires(scope="billing:write", fresh=True)
class CancelSubscription(Command[SubscriptionView]):
    """Let a subscription end with the month that was paid. What it has brought stays yours."""

    subscription_id: SubscriptionId


@requires(scope="billing:write", fresh=True)
class OpenBillingPortal(Command[PortalView]):
    """Open Stripe's page for cards, invoices and subscriptions."""
