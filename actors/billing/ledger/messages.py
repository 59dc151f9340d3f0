"""What moves credits besides buying and selling: refunds, settlement, claims on charges, payouts, and adjustments.

The internal ones are asked inside the transaction of whatever they belong to (the event that told of a refund, say),
and each is exactly once by the ledger's business key: asked again, it answers the same and moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Le, Len

from promptforge.actors.billing.ledger.payouts.domain import PayoutState
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.core.amounts import PositiveCreditAmount
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import TEXT

Id = Annotated[str, Len(1, 64)]
StripeId = Annotated[str, Len(1, 255)]
JournalId = Annotated[str, Len(1, 300)]
MinorUnits = Annotated[int, Ge(1), Le(10**12)]
PositiveMillicredits = Annotated[int, Ge(1), Le(10**12)]
Reason = Annotated[str, Len(3, 500), TEXT]

# Where credits came from


class LotOrigin(StrEnum):
    """How credits came: `topup` and `invoice` were paid for, `grant` was a gift, `opening` was there before, and
    `settlement` is what linked buyers, and such as paid with gifts, have brought.
    """

    TOPUP = "topup"
    INVOICE = "invoice"
    GRANT = "grant"
    OPENING = "opening"
    SETTLEMENT = "settlement"


@dataclass(frozen=True, slots=True)
class CreditLotView:
    """What is left of the credits that came at once. `id` is the journal's that brought them, `settle` of all sales.

    `refundable`: they were paid for, so a refund gives the money back to the card or account that paid, and to no
    other. `came_at` is null for those of sales, which came one by one; `expires_at` is null for what never does.
    """

    id: str
    account: str
    origin: LotOrigin
    remaining: str
    frozen: bool
    refundable: bool
    came_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreditLotsView:
    """In the order in which they came; gifts are spent first, those that expire sooner before others."""

    lots: tuple[CreditLotView, ...]


@requires(scope="credits:read")
class ListCreditLots(Query[CreditLotsView]):
    """List where your credits came from, what is left of each, and when gifts expire. Earned credits are in no lot."""


# Sales


@dataclass(frozen=True, slots=True)
class SaleReversed:
    """The journal that took a sale back; `first`: it was posted by this very command."""

    journal_id: str
    first: bool


@internal
class ReverseSale(Command[SaleReversed]):
    """Give the buyer back what a purchase cost, part by part to where it came from: `purchase:{id}:refund`, once.

    It is taken from the seller, the partner and the fee: from what is pending of the sale, then, where that is settled,
    from what the seller has; what they have not got becomes their debt. Raises `NotFound` for an unknown purchase.
    """

    purchase_id: Id
    reason: Reason


@dataclass(frozen=True, slots=True)
class SaleCompensated:
    """What the seller of a refunded sale was given for it, in millicredits; `first`: by this very command."""

    amount_millicredits: int
    first: bool


@internal
class CompensateSale(Command[SaleCompensated]):
    """The refund of a sale was a mistake: the platform gives the seller what it took of their share, once, by
    `compensation:{purchase}`, as payable as it was. The buyer keeps the refund. Raises `NotFound` where there was none,
    `PaymentLost` where the buyer's payment was lost to a dispute or to fraud.
    """

    purchase_id: Id
    reason: Reason


@internal
@job(timeout_seconds=300)
class SettleSales(Command[int]):
    """Find the sellers with sales that may be due, and enqueue a `SettleSeller` for each; answers how many.

    So too for partners with commissions of sales that have settled: a `SettleCommissions` for each.
    """


@internal
@job(timeout_seconds=600, keep_dead=None)
class SettleSeller(Command[int]):
    """Settle what is due of a seller's sales, and fold their pending legs; answers how many sales settled."""

    seller_id: Id


@internal
@job(timeout_seconds=600, keep_dead=None)
class WithholdLinked(Command[int]):
    """Somebody turned out to share a card or a bank account: what has settled between them and those whom they are
    linked with becomes credits that are never paid out, as far as it is still there. Answers of how many sales.
    """

    user_id: Id


# Runs of language models


@dataclass(frozen=True, slots=True)
class RunHold:
    """What is reserved for a run."""

    held_millicredits: int


@dataclass(frozen=True, slots=True)
class RunShare:
    """What a run earns a seller, in millicredits, before the platform's fee; `listing_id`: of what it is a run.

    Without a seller, whose account is closed, the platform's fee is all of it.
    """

    seller_id: Id | None
    gross_millicredits: Annotated[int, Ge(1), Le(10**12)]
    listing_id: Id | None = None


@dataclass(frozen=True, slots=True)
class RunCharge:
    """How a run was closed; `first`: by this very command, and not by one before.

    `charged_millicredits` is what the model cost, `share_millicredits` what was paid for the seller besides.
    """

    charged_millicredits: int
    first: bool
    share_millicredits: int = 0


def credits_turn(user_id: str) -> str:
    """The turn (see `Context.transaction`) of what sets somebody's credits aside or spends them, often at once."""
    return f"credits:{user_id}"


@internal
class ReserveRun(Command[RunHold]):
    """Set credits aside for a run of a language model, exactly once per run: `run:{id}:reserve`.

    The same run again answers the same hold. Raises `InsufficientCredits` (402) or `DebtOutstanding` (402). With
    `trial_of`, a listing, it is paid from a budget that its seller has set aside; raises `BudgetSpent` (409). With
    `for_platform` the platform pays, and no user is asked.
    """

    run_id: Annotated[str, Len(1, 64)]
    user_id: Id
    amount_millicredits: Annotated[int, Ge(1), Le(10**12)]
    trial_of: Annotated[str, Len(1, 64)] | None = None
    for_platform: bool = False


@internal
class CloseRun(Command[RunCharge]):
    """Charge for a run what it cost, at most what is held, and give the rest back to where it came from.

    A charge of 0 releases the hold. There is one `run:{id}:close`: whoever closes first decides, and who comes later
    hears what was charged. Raises `NotFound` where nothing was reserved.

    A `share` is taken besides: the platform's fee of it at once, the rest is pending for its seller and settles like a
    sale. Where the two share a card or a bank account, or it was paid with gifts, it is never paid out.
    """

    run_id: Annotated[str, Len(1, 64)]
    charge_millicredits: Annotated[int, Ge(0), Le(10**12)]
    share: RunShare | None = None


# Claims on the charge of a top-up


@dataclass(frozen=True, slots=True)
class TopupClaimed:
    """What a claim took: `refunded_purchases` were undone for it, and their buyer has lost them."""

    journal_id: str | None
    taken_millicredits: int
    refunded_purchases: tuple[str, ...]


@internal
class TakeBackTopup(Command[TopupClaimed]):
    """A charge was refunded or disputed: take back the credits that it brought, in proportion, and never twice.

    `topup_id` is the key of the payment's journal (`topup:cs_…`, `invoice:in_…`). `claim_id` is the `re_…` or `dp_…`;
    `amount` and `captured` are minor units of the same currency. `undo_sales`: also the unpaid sales that those credits
    paid for are refunded (a dispute, or a refund for fraud), those that are too many for one transaction by
    `UndoSales`, and all of them where another claim has undone some in this transaction (`undo_later`).

    Raises `NotFound` for an unknown payment.
    """

    topup_id: JournalId
    claim_id: StripeId
    kind: ClaimKind
    amount: MinorUnits
    captured: MinorUnits
    undo_sales: bool = False
    undo_later: bool = False


@internal
@job(timeout_seconds=600, keep_dead=None)
class UndoSales(Command[int]):
    """A claim has more sales to undo than one transaction can: undo some more of those that the payment paid for, the
    newest first, and enqueue the same for the rest. Answers how many.
    """

    topup_id: JournalId


@internal
class GiveBackTopup(Command[TopupClaimed]):
    """A refund has failed, or a dispute was won: give back what it took, as far as no other claim takes it.

    It may be told before the claim itself; the claim takes nothing then when it comes. `taken_millicredits` is what was
    given back, below zero.
    """

    topup_id: JournalId
    claim_id: StripeId
    kind: ClaimKind
    amount: MinorUnits


@internal
class FreezeTopup(Command[None]):
    """A dispute is open: what is left of a payment's credits is not spent, and what they paid for does not settle."""

    topup_id: JournalId
    dispute_id: StripeId


@internal
class ThawTopup(Command[None]):
    """The dispute is closed, whichever way."""

    topup_id: JournalId
    dispute_id: StripeId


# Payouts


@dataclass(frozen=True, slots=True)
class PayoutHold:
    """How a payout stands in the ledger."""

    payout_id: str
    user_id: str
    amount_millicredits: int
    state: PayoutState


@internal
class ReservePayout(Command[PayoutHold]):
    """Set earned credits aside for a payout: `payout:{id}:reserve`.

    Raises `InsufficientCredits` (only settled sales are paid out), `DebtOutstanding` or `PayoutOnHold`.
    """

    payout_id: Id
    user_id: Id
    amount_millicredits: PositiveMillicredits


@internal
class BeginPayoutTransfer(Command[PayoutHold]):
    """Mark a payout as being sent, before Stripe hears of it. Raises `PayoutNotOpen` where it was cancelled.

    Raises `DebtOutstanding` or `PayoutOnHold` where such a thing has come up since it was requested.
    """

    payout_id: Id


@internal
class CheckPayoutTransfer(Query[PayoutHold]):
    """Whether a payout that Stripe has not made so far may still be sent; raises as `BeginPayoutTransfer` does."""

    payout_id: Id


@internal
class FinalisePayout(Command[PayoutHold]):
    """The transfer succeeded: `payout:{id}:final`."""

    payout_id: Id


@internal
class CancelPayout(Command[PayoutHold]):
    """Give the credits back: `payout:{id}:release`. Raises `PayoutNotOpen` once it is being sent."""

    payout_id: Id


@internal
class ReturnPayout(Command[PayoutHold]):
    """The transfer was refused for good, or reversed after it succeeded: `payout:{id}:release`."""

    payout_id: Id


@internal
class ReturnPayoutPart(Command[PayoutHold]):
    """A part of the transfer was reversed: of the payout's credits `total_millicredits` have come back by now.

    `payout:{id}:returned:{total}` posts what is new of them. Raises `PayoutNotOpen` where it was not sent.
    """

    payout_id: Id
    total_millicredits: PositiveMillicredits


# Adjustments that two operators agree on


class AdjustmentKind(StrEnum):
    """`grant` gives credits away, and `write_off` makes a debt the platform's loss."""

    GRANT = "grant"
    WRITE_OFF = "write_off"


class AdjustmentState(StrEnum):
    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class AdjustmentView:
    """A large grant or a write-off: one operator asked for it, and another one decides."""

    id: str
    kind: AdjustmentKind
    state: AdjustmentState
    user_id: str
    amount: str
    reason: str
    requested_by: str
    decided_by: str | None
    decision_reason: str | None
    created_at: datetime
    decided_at: datetime | None


@requires(Role.OPERATOR, Role.ADMIN)
class RequestAdjustment(Command[AdjustmentView]):
    """Ask for a grant above the cap for one, or for a debt to be written off. Nothing moves before another approves.

    No API key may do this.
    """

    kind: AdjustmentKind
    user_id: Id
    amount: PositiveCreditAmount
    reason: Reason


@requires(Role.OPERATOR, Role.ADMIN, scope="billing:read")
class ListAdjustments(Query[Page[AdjustmentView]]):
    """List the adjustments that were asked for, newest first."""

    state: AdjustmentState | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.OPERATOR, Role.ADMIN, fresh=True)
class ApproveAdjustment(Command[AdjustmentView]):
    """Carry out what another operator asked for. Nobody approves their own request, nor one for themselves."""

    adjustment_id: Id


@requires(Role.OPERATOR, Role.ADMIN)
class RejectAdjustment(Command[AdjustmentView]):
    """Refuse what was asked for, with the reason; who asked may take it back like this."""

    adjustment_id: Id
    reason: Reason


# Gifts expire


@internal
@job(timeout_seconds=300)
class ExpireLots(Command[int]):
    """Find the users with gifts that have expired, and enqueue an `ExpireCredits` for each; answers how many."""


@internal
@job(keep_dead=None)
class ExpireCredits(Command[int]):
    """Take back what is left of a user's expired gifts: `expire:{lot}`; answers how many lots it was."""

    user_id: Id


@internal
class WarnOfExpiry(Command[None]):
    """Tell a user that what is left of a gift expires soon."""

    user_id: Id
    lot: JournalId


# Seals


@internal
@job(timeout_seconds=600)
class SealLedger(Command[int]):
    """Seal the journals that have settled; answers how many."""


@dataclass(frozen=True, slots=True)
class LedgerVerdict:
    """What a verification came to; all of it is in the ledger's report."""

    ok: bool
    violations_found: int


@internal
@job(timeout_seconds=6 * 3600)
class CheckLedger(Command[LedgerVerdict]):
    """Verify the whole ledger, keep the report, and log an error for each violation."""
