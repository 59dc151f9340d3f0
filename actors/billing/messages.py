"""Credits, checkouts and the ledger, as everyone else sees them.

Amounts of credits are decimal strings in views and integers of millicredits in internal messages; money is integer
minor units with a currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.core.amounts import CreditAmount
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import TEXT

CheckoutId = Annotated[str, Len(1, 64)]
PackId = Annotated[str, Len(1, 64)]
WaiverVersion = Annotated[str, Len(1, 32)]
UserId = Annotated[str, Len(1, 64)]
EventId = Annotated[str, Len(1, 255)]
Millicredits = Annotated[int, Ge(0), Le(10**12)]

# Credits of a user


@dataclass(frozen=True, slots=True)
class CreditExpiryView:
    """So many credits expire `at` that moment, unless they are spent before."""

    amount: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CreditsView:
    """What a user has. `available` = granted + purchased + earned − frozen; `pending` are sales before settlement.

    `debt` blocks spending, and what is bought or earned later pays it first. `frozen` are credits whose payment is
    disputed. `next_expiry`: the gifts that expire next, if any do.
    """

    available: str
    granted: str
    purchased: str
    earned: str
    pending: str
    reserved: str
    debt: str
    frozen: str
    next_expiry: CreditExpiryView | None = None


@dataclass(frozen=True, slots=True)
class TransactionPartView:
    """One leg: what the journal entry did to one of the user's accounts."""

    account: str
    amount: str


@dataclass(frozen=True, slots=True)
class TransactionView:
    """One journal entry as one of its parties sees it: `amount` is the sum of that party's parts."""

    id: str
    kind: str
    amount: str
    parts: tuple[TransactionPartView, ...]
    refs: dict[str, str]
    created_at: datetime


@requires(scope="credits:read")
class GetCredits(Query[CreditsView]):
    """Read your credits: what can be spent, from which source, and what is pending, reserved or owed."""


@requires(scope="credits:read")
class ListTransactions(Query[Page[TransactionView]]):
    """List what changed your credits, newest first."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@dataclass(frozen=True, slots=True)
class GrantView:
    """Credits given away: they can be spent until they expire, and never paid out."""

    id: str
    user_id: str
    amount: str
    reason: str
    created_at: datetime
    expires_at: datetime | None = None


@requires(Role.ADMIN)
class GrantCredits(Command[GrantView]):
    """Give a user credits, up to the cap for one grant. They can be spent, never paid out. No API key may do this."""

    user_id: UserId
    amount: CreditAmount
    reason: Annotated[str, Len(3, 500), TEXT]


# Buying credits


class CheckoutState(StrEnum):
    """`creating`: whether the payment page exists is not known yet; `open`: it waits for the buyer.

    `processing`: paid by a method that settles later; `paid`: the credits are there; `failed`: there is no page, or the
    payment that was to settle did not; `expired`: nobody paid in time.
    """

    CREATING = "creating"
    OPEN = "open"
    PROCESSING = "processing"
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class CreditPackView:
    """Credits for sale: `total_credits` are what one gets, bonus included, for `price_minor_units` of `currency`."""

    id: str
    credits: str
    bonus_credits: str
    total_credits: str
    price_minor_units: int
    currency: str


@dataclass(frozen=True, slots=True)
class CreditPacksView:
    """What is for sale now, the smallest pack first."""

    packs: tuple[CreditPackView, ...]


@dataclass(frozen=True, slots=True)
class CheckoutView:
    """A purchase of a credit pack at Stripe. `pack` is as it was when the checkout was made; `url` is the payment page.

    `amount` is the price in minor units of `currency`, before tax; `session_id` is Stripe's name for the checkout.
    """

    id: str
    state: CheckoutState
    pack: CreditPackView
    amount: int
    currency: str
    session_id: str | None
    url: str | None
    created_at: datetime
    paid_at: datetime | None


@public
class ListCreditPacks(Query[CreditPacksView]):
    """List the credit packs for sale, the smallest first."""


@requires(scope="billing:write", fresh=True)
class CreateCheckout(Command[CheckoutView]):
    """Start buying a credit pack: answers the address of the payment page. The price is the server's.

    `withdrawal_waiver` is the version of the text that the buyer was shown and has agreed to.
    """

    pack_id: PackId
    withdrawal_waiver: WaiverVersion


@dataclass(frozen=True, slots=True)
class WithdrawalWaiverView:
    """What a buyer has to agree to, because credits are there at once: show them the `text`, and send its `version`."""

    version: str
    text: str


@public
class GetWithdrawalWaiver(Query[WithdrawalWaiverView]):
    """Read the present text with which buyers give up their right of withdrawal, because credits are there at once."""


@requires(scope="billing:read")
class GetCheckout(Query[CheckoutView]):
    """Read one of your own checkouts: `paid` once the credits are there."""

    checkout_id: CheckoutId


# Stripe's events


class WebhookEventState(StrEnum):
    """`failed` is tried again and `dead` waits for an operator; `quarantined` was refused, `ignored` is kept only."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """`duplicate`: this event had been recorded before, and nothing was done."""

    duplicate: bool


@dataclass(frozen=True, slots=True)
class WebhookEventView:
    """An event from Stripe without its payload. `reason` says why it was quarantined or what failed last."""

    event_id: str
    type: str
    state: WebhookEventState
    livemode: bool
    account: str | None
    api_version: str | None
    attempts: int
    reason: str | None
    received_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class WebhookEventDetail:
    """An event from Stripe with all that was sent."""

    event: WebhookEventView
    payload: dict[str, Any]  # Any: JSON


@internal
class RecordStripeEvent(Command[RecordedEvent]):
    """Keep an event whose signature was verified, and see to it that it is processed; the same event twice, once.

    `payload` is the whole event as Stripe sent it, in `size` bytes, and `created` the second in which Stripe made it.
    """

    event_id: EventId
    type: Annotated[str, Len(1, 255)]
    api_version: str | None
    livemode: bool
    account: str | None
    created: int
    payload: dict[str, Any]  # Any: JSON
    size: int = 4096


@internal
@job(queue="stripe", keep_dead=None)
class ProcessStripeEvent(Command[None]):
    """Apply a recorded event: its effect and the mark that it is processed are one transaction."""

    event_id: EventId


@requires(Role.OPERATOR, Role.ADMIN, scope="billing:read")
class ListWebhookEvents(Query[Page[WebhookEventView]]):
    """List the events received from Stripe, newest first."""

    state: WebhookEventState | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.OPERATOR, Role.ADMIN, scope="billing:read")
class GetWebhookEvent(Query[WebhookEventDetail]):
    """Read an event received from Stripe, with its payload."""

    event_id: EventId


@requires(Role.OPERATOR, Role.ADMIN)
class ReplayWebhookEvent(Command[WebhookEventView]):
    """Judge an event again that is dead, failed, quarantined or ignored, once its cause is gone.

    What it tells of has its effect once, however often it is replayed. No API key may do this.
    """

    event_id: EventId


@internal
class SweepStripeEvents(Command[int]):
    """Enqueue the processing of events that are not finished, which may have lost their job; answers how many."""


# Sales


@dataclass(frozen=True, slots=True)
class Charge:
    """The journal of a purchase: `seller_millicredits` + `fee_millicredits` = the price.

    `payable_millicredits`: how much of the seller's share can ever be paid out; gifts and linked accounts make it less.
    """

    journal_id: str
    fee_millicredits: int
    seller_millicredits: int
    payable_millicredits: int = 0


@dataclass(frozen=True, slots=True)
class SaleCommission:
    """What a partner is promised of a sale, in basis points; `referrer_id` is whoever the partner is.

    There is none where the referrer is the buyer or the seller, or shares a card or a bank account with one of them.
    """

    partner_id: Annotated[str, Len(1, 64)]
    basis_points: Annotated[int, Ge(0), Le(10_000)]
    referrer_id: UserId
    code: Annotated[str, Len(1, 64)]


@internal
class ChargePurchase(Command[Charge]):
    """Take the price from the buyer and give the seller's share (pending) and the fee, exactly once per purchase.

    It is asked inside the purchase's transaction, and posts nothing twice: the same purchase again answers the same
    charge. Raises `InsufficientCredits` (402) or `DebtOutstanding` (402). A price of 0 posts a journal without legs.
    Of what was paid with bought or earned credits, the commission goes from the fee to the partner. Where buyer and
    seller are linked, the seller may spend what they get, and nothing of it is ever paid out.
    """

    purchase_id: Annotated[str, Len(1, 64)]
    buyer_id: UserId
    seller_id: UserId
    price_millicredits: Millicredits
    commission: SaleCommission | None = None


@internal
class AreAccountsLinked(Query[bool]):
    """Whether two users share a card or a bank account, directly or through others: as far as that is known."""

    one: UserId
    other: UserId


@internal
class GetAccountGroup(Query[tuple[str, ...]]):
    """Whoever shares a card or a bank account with a user, directly or through others; the user themselves included.

    The first names the group: it is the same for all of them, until it is joined with another one.
    """

    user_id: UserId


@internal
class ForgetInstruments(Command[None]):
    """Remove what links somebody who has left with others: the cards and bank accounts that they used."""

    user_id: UserId


# Verification


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant: `rule` is its stable name, `subject` the id of what is wrong."""

    rule: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class MoneyComparison:
    """The last comparison with Stripe's balance in one currency, in its minor units; `livemode`: real money."""

    livemode: bool
    currency: str
    stripe: int
    ledger: int
    compared_at: datetime


@dataclass(frozen=True, slots=True)
class LedgerSeal:
    """The head of the ledger's seals: the number and the hash of the last checkpoint, and how many journals all seal.

    Where it is kept outside of the database, it shows that nothing of what was sealed then has changed or gone.
    """

    number: int
    hash: Annotated[str, Field(examples=["5f2b0c6e" * 8])]
    journals: int
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """What a verification looked at and found; `violations` names the first hundred of `violations_found`.

    `accounts` counts the users whose stored balances were compared with their legs, `movements` those of real money.
    """

    ok: bool
    journals: int
    legs: int
    accounts: int
    purchases: int
    movements: int
    money: tuple[MoneyComparison, ...]
    violations_found: int
    violations: tuple[Violation, ...]
    seal: LedgerSeal | None
    started_at: datetime
    finished_at: datetime


@requires(Role.OPERATOR, Role.ADMIN, scope="billing:read")
class GetLedgerReport(Query[LedgerReport]):
    """What the last verification of the ledger has found; there is one every night.

    Answers 404 before the first one has ended.
    """


@dataclass(frozen=True, slots=True)
class VerificationStarted:
    """The job that verifies the ledger; its progress says what it looks at, and in the end there is a new report."""

    job_id: str


@requires(Role.OPERATOR, Role.ADMIN)
class RequestVerification(Command[VerificationStarted]):
    """Check every invariant of the ledger against all that is stored, now: a job, or the one that is under way already.

    On the command line it is `promptforge ledger verify`.
    """
