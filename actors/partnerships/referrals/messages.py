"""Referrals: codes and links, the first touch that counts, what it earned, and what is frozen of that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import Field, StringConstraints

from promptforge.actors.partnerships.messages import Note, PartnerId, PartnerState
from promptforge.actors.users.messages import UserId
from promptforge.core.amounts import PositiveCreditAmount
from promptforge.core.made import Made
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import LINE, TEXT

NewCode = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{2,30}[A-Za-z0-9]$"),
    Field(description="4 to 32 of a–z, 0–9 and - (inside)", examples=["prompt-review"]),
]
Code = Annotated[str, Len(1, 64), Field(examples=["prompt-review"])]
Label = Annotated[str, Len(1, 80), LINE, Field(examples=["The letter of November"])]
ReferralToken = Annotated[str, Len(1, 400)]
Days = Annotated[int, Ge(1), Le(366)]
Credits = Annotated[str, Field(examples=["4.25"])]


# Codes


@dataclass(frozen=True, slots=True)
class ReferralCodeView:
    """A code of a partner's. `link` is what to give away; it may have a `to`, the path that people land on.

    One that is deactivated brings nobody any more; whom it has brought are still the partner's for their 30 days.
    """

    code: str
    label: str | None
    link: Annotated[str, Field(examples=["https://promptforge.example.com/r/prompt-review"])]
    active: bool
    created_at: datetime
    deactivated_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReferralCodesView:
    """Newest first; `most_active` is how many a partner may have at a time."""

    items: tuple[ReferralCodeView, ...]
    most_active: int


@requires()
class CreateReferralCode(Command[ReferralCodeView]):
    """Make a code, of your choice or at random.

    A chosen one is free of words of the house (422 `reserved_code`), and nobody has it or one that looks like it (409
    `code_taken`), also not one that was given up. 409 `too_many_codes`, and `not_a_partner` where you do not earn.
    """

    partner_id: PartnerId
    code: NewCode | None = None
    label: Label | None = None


@requires(scope="partnerships:read")
class ListReferralCodes(Query[ReferralCodesView]):
    """List the codes of your partnership."""

    partner_id: PartnerId


@requires()
class DeactivateReferralCode(Command[ReferralCodeView]):
    """Let a code bring nobody any more, for good. Nobody else gets it."""

    partner_id: PartnerId
    code: Code


# Touches


@dataclass(frozen=True, slots=True)
class ReferralTouchView:
    """Whoever follows a link keeps the `token` of the first one, and hands it in once they are signed in.

    It counts until `expires_at`, 30 days from now, whenever it is handed in. It says nothing of who followed the link.
    """

    token: ReferralToken
    expires_at: datetime


@public
class FollowReferralLink(Command[ReferralTouchView]):
    """Follow a link: it counts as a click, and answers what the frontend keeps. Nothing is kept of who it was.

    404 where there is no such code, or it brings nobody any more: it is not active, or its partner does not earn.
    """

    code: Code


@dataclass(frozen=True, slots=True)
class AttributionView:
    """By whose link you came, and until when your purchases earn them something; they cost you the same.

    `signed_up`: your account is younger than the touch.
    """

    partner_name: Annotated[str, Field(examples=["The Prompt Review"])]
    code: str
    touched_at: datetime
    until: datetime
    signed_up: bool


@requires()
class ClaimReferral(Command[Made[AttributionView]]):
    """Hand in what links have given you, after signing in. The earliest touch that brings you to somebody counts.

    The first answer is for good: later ones never replace it, and are answered with it (200). Where no touch counts:
    422 `not_a_referral` for what this service has not given away. 409 `referral_expired` after 30 days, `self_referral`
    for a code of your own or of an account that shares a card or a bank account with yours, `circular_referral` where
    the partner came by you, directly or through others, `referral_not_active` where the link brings nobody any more.
    """

    tokens: Annotated[tuple[ReferralToken, ...], Len(1, 10)]


@requires()
class GetReferral(Query[AttributionView]):
    """Read by whose link you came; 404 where by nobody's."""


# Earnings


@dataclass(frozen=True, slots=True)
class FrozenEarningsView:
    """What a suspension froze. `state` is `frozen`, `released` or `forfeited`; `pending` is what is left of it.

    What is released of a sale that has not settled yet settles with it. `reason_code` is null for what was decided
    before there were codes. What was forfeited (`forfeited`: how much of it an appeal can bring back) can be appealed
    once, until `appeal_until`; null where it was, or cannot be. `appeal` is what its partner says, `answer` and
    `answer_code` what was decided of that, for good.
    """

    term: int
    state: Annotated[str, Field(examples=["frozen"])]
    pending: Credits
    frozen_at: datetime
    decided_at: datetime | None
    reason: Annotated[str | None, Field(examples=[None])]
    reason_code: Annotated[str | None, Field(examples=[None])] = None
    forfeited: Credits = "0"
    appeal_until: Annotated[datetime | None, Field(examples=[None])] = None
    appealed_at: Annotated[datetime | None, Field(examples=[None])] = None
    appeal: Annotated[str | None, Field(examples=[None])] = None
    answer: Annotated[str | None, Field(examples=[None])] = None
    answer_code: Annotated[str | None, Field(examples=[None])] = None
    answered_at: Annotated[datetime | None, Field(examples=[None])] = None


@dataclass(frozen=True, slots=True)
class EarningsView:
    """`pending` settles with the sales, `frozen` waits for a decision, `earned` can be collected."""

    pending: Credits
    frozen: Credits
    earned: Credits
    freezes: tuple[FrozenEarningsView, ...]


@requires(scope="partnerships:read")
class GetEarnings(Query[EarningsView]):
    """Read how the commissions of your partnership stand."""

    partner_id: PartnerId


@requires(while_suspended=True, fresh=True)
class AppealForfeiture(Command[EarningsView]):
    """Say why frozen earnings should not have been forfeited, once: another administrator decides, for good.

    409 `appealed_already`, `appeal_too_late` after its `appeal_until`, and `nothing_to_appeal` where they are not
    forfeited, or were before this could be appealed; 404 where nothing was frozen.
    """

    partner_id: PartnerId
    term: Annotated[int, Ge(0), Le(2**31 - 1)]
    words: Annotated[str, Len(20, 2000), TEXT, Field(examples=["The clicks are from a talk: 300 people, one network."])]


@dataclass(frozen=True, slots=True)
class CollectionView:
    """Settled commissions that have become earned credits of yours; a debt of yours was paid first."""

    collection_id: str
    amount: Credits


@requires(fresh=True)
class CollectEarnings(Command[CollectionView]):
    """Make settled commissions earned credits of your own, to spend them or to have them paid out as sellers are
    (`POST /billing/payouts`): all of them, unless an amount is given. No API key can do this.

    402 `insufficient_credits` where that much has not settled.
    """

    partner_id: PartnerId
    amount: PositiveCreditAmount | None = None


@dataclass(frozen=True, slots=True)
class ReferralSums:
    """What happened, and what the sales of these days were promised, which is by now pending, frozen or not, earned,
    forgone (linked accounts, or forfeited), or reversed with a refund.
    """

    clicks: int
    attributions: int
    sign_ups: int
    sales: int
    refunds: int
    promised: Credits
    pending: Credits
    earned: Credits
    forgone: Credits
    reversed: Credits


@dataclass(frozen=True, slots=True)
class ReferralDay:
    day: date
    totals: ReferralSums


@dataclass(frozen=True, slots=True)
class ReferralCodeSums:
    code: str
    totals: ReferralSums


@dataclass(frozen=True, slots=True)
class PartnerDashboard:
    """These days (UTC), all together, one by one, and by code. Sales are those that pay a commission, by when they were
    made; amounts are what the ledger says.
    """

    since: date
    until: date
    totals: ReferralSums
    days: tuple[ReferralDay, ...]
    codes: tuple[ReferralCodeSums, ...]


@requires(scope="partnerships:read")
class GetPartnerDashboard(Query[PartnerDashboard]):
    """Read the last `days` of your partnership, today among them. Clicks are in it some five seconds later."""

    partner_id: PartnerId
    days: Days = 30


# Administrators


class FreezeDecision(StrEnum):
    """`release`: the partner gets them after all. `forfeit`: they go back into the fee that they came out of."""

    RELEASE = "release"
    FORFEIT = "forfeit"


class EarningsReason(StrEnum):
    """Why; `other` where the note alone says it. `earned` and `mistaken` are for a release, the others are not."""

    EARNED = "earned"
    MISTAKEN = "mistaken"
    SUSPICIOUS_TRAFFIC = "suspicious_traffic"
    BROKEN_TERMS = "broken_terms"
    FRAUD = "fraud"
    OTHER = "other"


class AppealDecision(StrEnum):
    """`reverse`: the partner gets them after all. `uphold`: they stay in the fee."""

    REVERSE = "reverse"
    UPHOLD = "uphold"


class AppealReason(StrEnum):
    """Why; `other` where the note alone says it. `earned` and `mistaken` reverse, `unchanged` upholds."""

    EARNED = "earned"
    MISTAKEN = "mistaken"
    UNCHANGED = "unchanged"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class FrozenTermView:
    """Earnings that wait for a decision: whose they are, how the partnership stands, and how much it is by now.

    Of what was forfeited, and waits for the answer to an appeal, `forfeited` is how much.
    """

    partner_id: str
    owner_id: str
    name: Annotated[str, Field(examples=["The Prompt Review"])]
    state: PartnerState
    term: int
    pending: Credits
    frozen_at: datetime
    forfeited: Credits = "0"
    appealed_at: Annotated[datetime | None, Field(examples=[None])] = None


@requires(Role.ADMIN)
class ListFrozenEarnings(Query[Page[FrozenTermView]]):
    """List everybody's earnings that are frozen, with nobody having decided about them; what was frozen last first.

    Lifting a suspension decides nothing, nor does an end: they stay here until `POST
    /partnerships/{partner_id}/earnings/freezes/{term}/decision`. With `appealed`: those that were forfeited, and whose
    partner has appealed, what was appealed last first, until `…/freezes/{term}/appeal/decision`.
    """

    appealed: bool = False
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.ADMIN)
class ReviewEarnings(Query[EarningsView]):
    """Read how somebody's commissions stand, and what is frozen of them."""

    partner_id: PartnerId


@requires(Role.ADMIN)
class DecideFrozenEarnings(Command[EarningsView]):
    """Decide what becomes of earnings that a suspension froze, with a reason, which the partner is told; once.

    409 `freeze_decided` where somebody was faster, whatever they decided. A job carries it out. 403 `own_partnership`
    for your own, or that of an account that shares a card or a bank account with yours; 403 `own_suspension` while an
    appeal waits against your own suspension, where there is another administrator. 404 where nothing was frozen. Your
    own decision, sent again word for word, is answered with how it stands.
    """

    partner_id: PartnerId
    term: Annotated[int, Ge(0), Le(2**31 - 1)]
    decision: FreezeDecision
    reason: Note
    reason_code: EarningsReason = EarningsReason.OTHER


@requires(Role.ADMIN)
class DecideForfeitAppeal(Command[EarningsView]):
    """Answer the appeal against a forfeiture, with a reason, which the partner is told; once, and for good.

    `reverse` brings back what was forfeited and not refunded since: a job carries it out. 403 `own_decision` for who
    forfeited, and for accounts that are linked with theirs, where there is another administrator; 403 `own_partnership`
    and `own_suspension` as for the decision. 409 `freeze_decided` where somebody was faster, and `nothing_to_appeal`
    where nobody has appealed, or has left since. Your own decision, sent again word for word, is answered with how it
    stands.
    """

    partner_id: PartnerId
    term: Annotated[int, Ge(0), Le(2**31 - 1)]
    decision: AppealDecision
    reason: Note
    reason_code: AppealReason = AppealReason.OTHER


# Inside the service


@dataclass(frozen=True, slots=True)
class Referral:
    """Who is to be paid for a sale, and how much of it."""

    partner_id: str
    referrer_id: str
    code: str
    basis_points: int


@internal
class FindReferral(Query[Referral | None]):
    """Who brought a buyer, where the window is open and they earn now; asked in the sale's own transaction.

    None too where the referrer sells it, or came by the buyer. Whether they share a card is the ledger's to ask.
    """

    buyer_id: UserId
    seller_id: UserId


@dataclass(frozen=True, slots=True)
class ReferrerStanding:
    """What is known against paying a commission. `came_by`: the referrer came by the buyer, directly or through others,
    or by an account that shares a card or a bank account with theirs. The account is `suspended`, which may end, or
    `closed`, for good.
    """

    came_by: bool = False
    suspended: bool = False
    closed: bool = False


@internal
class JudgeReferrer(Query[ReferrerStanding]):
    """How somebody stands who is about to be paid for a buyer. Claims refuse a circle; that an account closes one may
    be learned later.
    """

    referrer_id: UserId
    buyer_id: UserId


# The end of an account


@internal
class HoldBackCodes(Command[None]):
    """See to it that nobody gets the codes that go with somebody's account: all but these, which have brought sales."""

    user_id: str
    sold: tuple[str, ...]
