"""Payouts as sellers and operators see them, and the jobs that send and follow them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len

from promptforge.core.amounts import CreditAmount
from promptforge.core.jobs import job
from promptforge.core.made import Made
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import TEXT

PayoutId = Annotated[str, Len(1, 64)]
StripeId = Annotated[str, Len(1, 255)]
Reason = Annotated[str, Len(3, 500), TEXT]


class PayoutProgress(StrEnum):
    """`requested`, `held` and, where Stripe has refused and made no transfer, `waiting_for_funds` and `sending` can be
    cancelled, and held.

    `sending`: Stripe is asked; `waiting_for_funds`: the platform's balance there is too low at present; `sent`: the
    money is the seller's at Stripe, which pays it to the bank. `returned`: Stripe refused for good; `reversed`: all of
    it was taken back after it had been sent. After those two and `cancelled` the credits are the seller's again.
    """

    REQUESTED = "requested"
    HELD = "held"
    SENDING = "sending"
    WAITING_FOR_FUNDS = "waiting_for_funds"
    SENT = "sent"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    REVERSED = "reversed"


class HoldReason(StrEnum):
    """Why an operator holds a payout; `other` where the words alone say it."""

    BANK_ACCOUNT_IN_DOUBT = "bank_account_in_doubt"
    IDENTITY_IN_DOUBT = "identity_in_doubt"
    SALES_UNDER_REVIEW = "sales_under_review"
    LEGAL_ORDER = "legal_order"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PayoutView:
    """A payout: `amount` credits are `money` minor units of `currency`, at the rate of the moment it was requested.

    `reason` says why it waits, is held or was returned, and `reason_code` the same for programs: a hold's, that of what
    is in the way (as a request would be refused with it), `platform_short_of_funds`, `stripe_unavailable`,
    `refused_by_stripe` or `released`. `reversed_money` was taken back. `bank_status` is what Stripe
    said last of its own payouts to the seller's bank since (`paid`, `failed`); it moves no credits.
    """

    id: str
    user_id: str
    state: PayoutProgress
    amount: str
    money: int
    currency: str
    reason: str | None
    reason_code: str | None
    reversed_money: int
    bank_status: str | None
    created_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None


@requires(fresh=True)
class RequestPayout(Command[Made[PayoutView]]):
    """Have earned credits, of settled sales and collected commissions, paid out to your bank. It needs no role.

    One payout at a time; no API key may do this.
    The same amount again, while that payout is under way, answers that payout.
    """

    amount: CreditAmount


@requires(scope="billing:read")
class ListPayouts(Query[Page[PayoutView]]):
    """List your payouts, newest first."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="billing:read")
class GetPayout(Query[PayoutView]):
    """Read one of your payouts; operators read anybody's."""

    payout_id: PayoutId


@requires(fresh=True)
class WithdrawPayout(Command[PayoutView]):
    """Take a payout back that Stripe is not being asked for: the credits are yours again. Operators may do so for
    anybody.
    """

    payout_id: PayoutId


@requires(Role.OPERATOR, Role.ADMIN, scope="billing:read")
class ListAllPayouts(Query[Page[PayoutView]]):
    """List everybody's payouts, newest first."""

    state: PayoutProgress | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.OPERATOR, Role.ADMIN)
class HoldPayout(Command[PayoutView]):
    """Keep a payout from being sent. Its seller is told the reason, its code's words, and what they can do.

    The same again changes nothing, and tells nobody anything.
    """

    payout_id: PayoutId
    reason: Reason
    reason_code: HoldReason = HoldReason.OTHER


@requires(Role.OPERATOR, Role.ADMIN)
class ReleasePayout(Command[PayoutView]):
    """Let a payout that is held be sent. The reason takes the place of that for which it was held."""

    payout_id: PayoutId
    reason: Reason


# Jobs


@internal
@job(max_attempts=100, timeout_seconds=120, keep_dead=None)
class SendPayout(Command[None]):
    """Take a payout one step further: to Stripe, or to its end."""

    payout_id: PayoutId


@internal
@job(timeout_seconds=300)
class SweepPayouts(Command[int]):
    """Enqueue again what a crash, or a job that was given up, has left under way; answers how many."""
