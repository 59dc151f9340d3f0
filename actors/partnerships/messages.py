"""Partnerships: applications, what administrators decide about them, and whether a partner earns.

A partnership is one document from its application on, and its id is the partner's id. Whoever was rejected or has
left applies anew and gets another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.actors.users.messages import HttpsUrl, UserId
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import LINE, TEXT

PartnerId = Annotated[str, Len(1, 64)]
PartnerName = Annotated[str, Len(1, 80), LINE, Field(examples=["The Prompt Review"])]
Plan = Annotated[
    str, Len(20, 2000), TEXT, Field(examples=["A weekly letter to 4,000 people who write prompts for newsrooms."])
]
Note = Annotated[str, Len(3, 2000), TEXT, Field(examples=["Your letter reaches the people who would buy here."])]
Version = Annotated[int, Ge(1), Field(description="The version of the partnership that you have read")]
BasisPoints = Annotated[int, Ge(0), Le(10_000), Field(description="Of a sale's price, in hundredths of a percent")]


class PartnerState(StrEnum):
    """`rejected`, `withdrawn` and `ended` are final."""

    APPLIED = "applied"
    APPROVED = "approved"
    SUSPENDED = "suspended"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    ENDED = "ended"


class PartnershipDecision(StrEnum):
    """What administrators decide. `lift` ends a suspension; `uphold` leaves it as it is, in answer to an appeal."""

    APPROVE = "approve"
    REJECT = "reject"
    SUSPEND = "suspend"
    LIFT = "lift"
    UPHOLD = "uphold"
    END = "end"


class PartnershipReason(StrEnum):
    """Why; `GET /partnerships/reasons` has the words, and which decisions each is for."""

    GOOD_FIT = "good_fit"
    SAYS_TOO_LITTLE = "says_too_little"
    NO_FIT = "no_fit"
    MISLEADING = "misleading"
    BROKEN_TERMS = "broken_terms"
    SUSPICIOUS_TRAFFIC = "suspicious_traffic"
    UNDER_REVIEW = "under_review"
    FRAUD = "fraud"
    RESOLVED = "resolved"
    MISTAKEN = "mistaken"
    UNCHANGED = "unchanged"
    PARTNER_ASKED = "partner_asked"
    INACTIVE = "inactive"


class CommissionReason(StrEnum):
    """Why a commission is changed; `other` where the note alone says it."""

    AGREED = "agreed"
    MORE_SALES = "more_sales"
    FEWER_SALES = "fewer_sales"
    NEW_TERMS = "new_terms"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PartnershipReasonView:
    """A reason that decisions can have: its words, and what can be done next."""

    code: PartnershipReason
    decisions: tuple[PartnershipDecision, ...]
    words: str
    next_step: str


@dataclass(frozen=True, slots=True)
class PartnershipReasonsView:
    """`most_commission_bp` is the most that a partner can get of a sale, out of the platform's fee.

    After a rejection, and after a partnership has ended, one can apply again once so many days have passed.
    """

    reasons: tuple[PartnershipReasonView, ...]
    most_commission_bp: int
    days_after_rejection: int
    days_after_end: int


@dataclass(frozen=True, slots=True)
class PartnershipDecisionView:
    """A decision as its partner is told it. `words` and `next_step` are the reason's, `note` was written for them."""

    decision: PartnershipDecision
    reason_code: PartnershipReason
    words: str
    next_step: str
    note: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class PartnershipView:
    """One's own application, or the partnership that became of it.

    `commission_bp` is null until it is approved, never more than partners get at most by now. `decision` is the last
    one. `appeal_until` is how long a suspension can be appealed, `appealed_at` is set while an appeal waits,
    `apply_again_at` where it ended and one can apply anew from then on.
    """

    id: str
    state: PartnerState
    name: str
    website: str | None
    plan: str
    commission_bp: int | None
    version: int
    decision: PartnershipDecisionView | None
    appealed_at: datetime | None
    appeal_until: datetime | None
    apply_again_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PartnershipEventView:
    """One step in a partnership's life, as administrators see it; it stays as it is, whatever comes later.

    `event` is a decision, or `withdraw`, `appeal`, `commission`, `close` (with the account). `by` is whoever did it.
    """

    event: str
    from_state: PartnerState
    to_state: PartnerState
    version: int
    commission_bp: int | None
    reason_code: str | None
    note: str | None
    internal_note: str | None
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PartnershipDetailView:
    """A partnership as administrators see it: whose it is, what may be decided now, what happened, newest first.

    `appeal` is what the partner says against a suspension, while it waits. `undecided_terms` are those whose earnings
    are frozen, with nobody having decided about them; `GET /partnerships/freezes` lists everybody's. `related` are
    other partnerships of the owner, and of accounts that share a card or a bank account with theirs, newest first, but
    for withdrawn ones.
    """

    partnership: PartnershipView
    owner_id: str
    appeal: str | None
    legal_decisions: tuple[PartnershipDecision, ...]
    undecided_terms: tuple[int, ...]
    related: tuple[PartnershipRowView, ...]
    history: tuple[PartnershipEventView, ...]


@dataclass(frozen=True, slots=True)
class PartnershipRowView:
    """A partnership in the administrators' list."""

    id: str
    owner_id: str
    state: PartnerState
    name: str
    commission_bp: int | None
    version: int
    appealed_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PartnerStanding:
    """Who a partner is to those who pay commissions. `earns`: approved, and the owner's account is open."""

    partner_id: str
    owner_id: str
    state: PartnerState
    commission_bp: int
    earns: bool


@public
class ListPartnershipReasons(Query[PartnershipReasonsView]):
    """List the reasons that decisions about partnerships have, in words, and what applicants should know."""


@requires(fresh=True)
class ApplyForPartnership(Command[PartnershipView]):
    """Apply to become a partner; an administrator decides, and you are told.

    409 `partnership_exists` while you have an application or a partnership, `apply_later` where one was rejected or
    has ended a short while ago, of yours or of an account that shares a card or a bank account with yours, or where you
    withdrew two within a day: `apply_again_at` is when you can.
    """

    name: PartnerName
    plan: Plan
    website: HttpsUrl | None = None


@requires(scope="partnerships:read")
class ListMyPartnerships(Query[Page[PartnershipView]]):
    """List your applications and partnerships, newest first."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="partnerships:read")
class GetPartnership(Query[PartnershipView]):
    """Read one of your applications or partnerships."""

    partner_id: PartnerId


@requires()
class WithdrawApplication(Command[PartnershipView]):
    """Take back an application that is not decided yet; 409 `illegal_move` for anything else."""

    partner_id: PartnerId


@requires(while_suspended=True, fresh=True)
class AppealSuspension(Command[PartnershipView]):
    """Say why your partnership should not be suspended; administrators are told, and answer with a decision.

    Once for each decision: 409 `appealed_already`; 409 `appeal_too_late` after its `appeal_until`, and 409
    `illegal_move` where it is not suspended.
    """

    partner_id: PartnerId
    words: Annotated[str, Len(20, 2000), TEXT, Field(examples=["The clicks are from a talk: 300 people, one network."])]


# Administrators


@requires(Role.ADMIN)
class ListPartnerships(Query[Page[PartnershipRowView]]):
    """List everybody's partnerships in a state, newest first: unless another is asked for, what waits for you.

    `appealed` shows only those whose suspension was appealed against, or only the others.
    """

    state: PartnerState = PartnerState.APPLIED
    appealed: bool | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.ADMIN)
class ReviewPartnership(Query[PartnershipDetailView]):
    """Read somebody's partnership, what may be decided about it, and what happened before."""

    partner_id: PartnerId


@requires(Role.ADMIN)
class DecidePartnership(Command[PartnershipDetailView]):
    """Decide about an application or a partnership; the applicant is told the decision, the reason and the note.

    `version` is the one you have read: of two who decide at once one wins, and the other gets 409
    `partnership_changed` with what it is now. 409 `illegal_move` names what may be decided in this state. An approval
    needs `commission_bp`, nothing else takes it, and it cannot be more than partners get at most (422). 403
    `own_partnership` for your own, or that of an account that shares a card or a bank with yours; 403 `own_suspension`
    for an appeal against your own suspension, where another administrator could decide.
    """

    partner_id: PartnerId
    version: Version
    decision: PartnershipDecision
    reason_code: PartnershipReason
    note: Note
    internal_note: Note | None = None
    commission_bp: BasisPoints | None = None


@requires(Role.ADMIN)
class ChangeCommission(Command[PartnershipDetailView]):
    """Change what a partner gets of the sales from now on; they are told. Sales of before keep what they had.

    409 `partnership_changed` and 403 as for decisions; 409 `illegal_move` where it is no partnership (any more).
    """

    partner_id: PartnerId
    version: Version
    commission_bp: BasisPoints
    note: Note
    reason_code: CommissionReason = CommissionReason.OTHER


# Inside the service


@internal
class GetPartnerStanding(Query[PartnerStanding | None]):
    """The partner with this id and whether they earn now; None where it is none, or never was approved.

    In a transaction it is as of its snapshot: a sale that commits with it took place before the suspension.
    """

    partner_id: PartnerId


@internal
class ListPartnerIds(Query[tuple[str, ...]]):
    """Of all partnerships that somebody has or had, for what they earned."""

    owner_id: UserId


@internal
class TellAdministrators(Command[None]):
    """Tell those who decide that something about a partnership waits for them.

    `event` is `applied`, `appealed` or `undecided` (earnings that are frozen).
    """

    partner_id: PartnerId
    event: str
    version: int


@internal
class LeavePartnerships(Command[None]):
    """Withdraw the application and end the partnership of somebody whose account is closed, and give up its earnings.

    Again it gives up what has come in meanwhile.
    """

    user_id: UserId
