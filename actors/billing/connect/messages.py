"""A seller's connected account, as the seller sees it, and what refreshes what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires

Country = Annotated[str, Field(pattern="^[A-Z]{2}$", examples=["DE"], description="ISO 3166-1, two letters")]
StripeId = Annotated[str, Len(1, 255)]


class ConnectState(StrEnum):
    """`pending`: details are missing yet; `restricted`: Stripe has stopped payouts; `active`: payouts are possible."""

    NOT_STARTED = "not_started"
    PENDING = "pending"
    ACTIVE = "active"
    RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True)
class BankPayoutView:
    """Stripe's last payout from the seller's own account there to their bank: `amount` in minor units of `currency`."""

    status: str
    amount: int
    currency: str
    failure_code: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ConnectView:
    """How a seller's account at Stripe stands.

    `requirements_due` are Stripe's names of the details that it wants. `bank_details_since` is when the present bank
    details were first seen, and from `payouts_from` on they are old enough for a payout.
    """

    state: ConnectState
    country: str | None
    currency: str | None
    charges_enabled: bool
    payouts_enabled: bool
    requirements_due: tuple[str, ...]
    disabled_reason: str | None
    bank_details_since: datetime | None
    payouts_from: datetime | None
    last_bank_payout: BankPayoutView | None


@dataclass(frozen=True, slots=True)
class OnboardingView:
    """`url` is Stripe's page for the seller's details: for one visit, until `expires_at`."""

    url: str
    expires_at: datetime


@requires(fresh=True)
class BeginConnectOnboarding(Command[OnboardingView]):
    """Start or go on with telling Stripe who you are and where your money goes: answers the address of its page.

    For whoever has earned something, or has the role seller. The account is made once; `country` cannot be changed
    afterwards. No API key may do this.
    """

    country: Country


@requires(scope="billing:read")
class GetConnectAccount(Query[ConnectView]):
    """Read how your account at Stripe stands: whether payouts are possible, and what Stripe still wants to know."""


@internal
@job(max_attempts=20)
class RefreshConnectAccount(Command[bool]):
    """Ask Stripe how a stored connected account stands; false where no seller has it."""

    account_id: StripeId
