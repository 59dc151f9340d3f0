"""Moderation: cases that moderators claim and decide, each with a reason that the people concerned get to read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Ge, Len

from promptforge.actors.marketplace.messages import ListingView
from promptforge.actors.marketplace.reviews.messages import ReviewView
from promptforge.actors.moderation.checks.messages import Finding, Severity
from promptforge.actors.prompts.messages import ChatMessage, ModelSettings, PromptKind, Tool, Variable
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import TEXT

CaseId = Annotated[str, Len(1, 64)]
Note = Annotated[str, Len(1, 2000), TEXT]


class CaseKind(StrEnum):
    """What a case is about; it says which decisions are possible.

    `review`: a listing that wants to be published. `proposed_change`: a change of a published one, which stays up
    meanwhile, or the appeal against the rejection of one. `report`: people have reported a listing. `review_report`:
    people have reported a review of one. `appeal`: a seller does not accept a decision. `refund`: a buyer wants a
    refund that is not automatic. `refund_appeal`: a buyer does not accept that it was refused. `extraction`: somebody
    seems to get at a sealed text by running it. `review_appeal`: somebody does not accept that their review was
    removed, `sale_appeal`: a seller that a sale was refunded, `extraction_appeal`: a buyer that their runs were stopped
    for good, `reply_appeal`: a seller that their reply to a review was removed.
    """

    REVIEW = "review"
    PROPOSED_CHANGE = "proposed_change"
    REPORT = "report"
    REVIEW_REPORT = "review_report"
    APPEAL = "appeal"
    REFUND = "refund"
    REFUND_APPEAL = "refund_appeal"
    EXTRACTION = "extraction"
    REVIEW_APPEAL = "review_appeal"
    SALE_APPEAL = "sale_appeal"
    EXTRACTION_APPEAL = "extraction_appeal"
    REPLY_APPEAL = "reply_appeal"


class CaseState(StrEnum):
    OPEN = "open"
    DECIDED = "decided"
    OBSOLETE = "obsolete"
    """The listing moved on before anyone decided."""


class Verdict(StrEnum):
    """What a moderator may decide; which of them, depends on the kind of the case.

    `dismiss` leaves everything as it is: the report is unfounded, the appeal or the refund refused, the suspicion
    groundless. `refund` gives the buyer their credits back and takes the purchase from them. `remove` takes a review
    away, out of the listing's rating too, `remove_reply` only the seller's reply to it. `restore` gives back what was
    taken: a review, a reply, or the right to run.
    `compensate` has the platform pay a seller for a sale that was refunded.
    """

    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    REJECT = "reject"
    SUSPEND = "suspend"
    LIFT = "lift"
    DISMISS = "dismiss"
    REFUND = "refund"
    REMOVE = "remove"
    REMOVE_REPLY = "remove_reply"
    RESTORE = "restore"
    COMPENSATE = "compensate"


class ReasonCode(StrEnum):
    """Why something is decided; `GET /moderation/reasons` has the words, and which decisions each is for."""

    MEETS_GUIDELINES = "meets_guidelines"
    TOO_VAGUE = "too_vague"
    WRONG_DETAILS = "wrong_details"
    POOR_QUALITY = "poor_quality"
    MISLEADING = "misleading"
    PERSONAL_DATA = "personal_data"
    SECRETS = "secrets"
    COPIED = "copied"
    INFRINGES_RIGHTS = "infringes_rights"
    HARMFUL = "harmful"
    ILLEGAL = "illegal"
    SPAM = "spam"
    MISTAKEN = "mistaken"
    RESOLVED = "resolved"
    UNFOUNDED = "unfounded"
    OUTSIDE_POLICY = "outside_policy"
    NOT_AS_DESCRIBED = "not_as_described"
    DOES_NOT_WORK = "does_not_work"
    EXTRACTION = "extraction"
    ABUSIVE = "abusive"
    OFF_TOPIC = "off_topic"
    TELLS_SECRETS = "tells_secrets"


class CaseOrder(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"


class ClaimedBy(StrEnum):
    """Whose a case is at present."""

    NOBODY = "nobody"
    ME = "me"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class ReasonView:
    """A reason that decisions can have: its words, and what the people concerned can do next."""

    code: ReasonCode
    decisions: tuple[Verdict, ...]
    words: str
    next_step: str


@dataclass(frozen=True, slots=True)
class ReasonsView:
    reasons: tuple[ReasonView, ...]


@dataclass(frozen=True, slots=True)
class ClaimView:
    """Who is working on a case, and until when nobody else can be."""

    moderator_id: str
    claimed_at: datetime
    claimed_until: datetime


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case in the queue. `decided_by` and `internal_note` are for moderators only, as the whole view is.

    `reason` is what somebody said when the case came up: who reports, appeals or wants a refund. `times` is by how many
    people the same came up while the case was open, each counted once: so many have reported the listing, say.
    `severity` is that of the worst finding of the automatic checks. `claim` is one that counts. `subject`: in a case of
    extraction one of the accounts that it is about, of a reported review its id. `reported`: what it and the reply to
    it said when people reported them, for they may have been changed since. `against`: the case whose decision is
    appealed.

    A moderator whom a case concerns (its seller, who brought it up, whose runs it is about, and accounts linked to
    theirs) sees neither `reason`, `purchase_id`, `severity`, `claim`, `internal_note`, `decided_by` nor `subject`.
    """

    id: str
    kind: CaseKind
    state: CaseState
    listing_id: str
    revision: int
    seller_id: str
    title: str
    reason: str | None
    purchase_id: str | None
    times: int
    severity: Severity | None
    claim: ClaimView | None
    decision: Verdict | None
    reason_code: str | None
    public_note: str | None
    internal_note: str | None
    decided_by: str | None
    decided_at: datetime | None
    created_at: datetime
    subject: str | None = None
    against: str | None = None
    reported: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KindOfCases:
    """How many cases of a kind are open, how many of those are claimed, and since when the oldest has been waiting.

    `median_hours` is how long it took from the case to its decision, of those decided in the last 30 days.
    """

    kind: CaseKind
    open: int
    claimed: int
    oldest_at: datetime | None
    decided: int
    median_hours: float | None


@dataclass(frozen=True, slots=True)
class CaseQueueView:
    kinds: tuple[KindOfCases, ...]


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A decision as it was made; it stays as it is, whatever is decided later.

    `internal_note` and `decided_by` are null for moderators whom the case concerns.
    """

    id: str
    case_id: str
    kind: CaseKind
    revision: int
    decision: Verdict
    reason_code: str
    public_note: str
    internal_note: str | None
    decided_by: str | None
    decided_at: datetime


class RecommendationState(StrEnum):
    GIVEN = "given"
    NONE = "none"
    """The model was asked and gave none that could be used, or could not be asked."""


@dataclass(frozen=True, slots=True)
class RecommendationView:
    """What a language model would decide; a moderator does. Null as `decision` where it is unsure.

    `words` are the model's own. They may quote the sealed text, so that they are shown with it, to whoever has claimed
    the case. `read_all` is false where the texts were longer than what it reads. `because`: why there is none.
    `tiny_model`: the small local model, whose advice is worth little.
    """

    state: RecommendationState
    model: str
    tiny_model: bool
    decision: Verdict | None
    reason_code: ReasonCode | None
    words: str | None
    read_all: bool
    because: str | None
    made_at: datetime


@dataclass(frozen=True, slots=True)
class CaseDetailView:
    """A case with the listing as it is now, and what its seller proposes to change (`listing.proposal`).

    `findings` are the automatic checks', the worst first; a moderator judges them. `legal_decisions` are those that
    this kind of case allows, `history` what was decided about the listing before, newest first. `review` is what a
    `review_report`, a `review_appeal` or a `reply_appeal` is about, while there is something to decide.
    `recommendation` is a language model's, without its words; null where none is configured, or it has not come yet.
    """

    case: CaseView
    listing: ListingView
    findings: tuple[Finding, ...]
    legal_decisions: tuple[Verdict, ...]
    history: tuple[DecisionView, ...]
    review: ReviewView | None
    recommendation: RecommendationView | None = None


@dataclass(frozen=True, slots=True)
class CaseContentView:
    """The sealed text that a case is about, its includes in their places, and all that is sold and sent with it.

    `unified` compares all of that with `published_version`, where a change of it is proposed: the content, and behind
    it as JSON the settings, the variables, the tools and the response schema. Of a package everything is in `content`.
    """

    case_id: str
    listing_id: str
    prompt_id: str
    version: int
    kind: PromptKind
    content: str | tuple[ChatMessage, ...]
    settings: ModelSettings
    variables: tuple[Variable, ...]
    tools: tuple[Tool, ...]
    response_schema: dict[str, Any] | None  # Any: JSON
    published_version: int | None
    unified: str | None
    claimed_until: datetime
    recommendation: RecommendationView | None = None


@internal
class OpenCase(Command[None]):
    """Open a case, or count it once more where the same is open already.

    Reviews and proposed changes: once for each revision, however often it is sent. Everything else: one open case for
    each listing (and purchase). `reason` is what whoever brings it up says.
    """

    listing_id: str
    revision: Annotated[int, Ge(1)]
    seller_id: str
    title: str
    kind: CaseKind = CaseKind.REVIEW
    reason: str | None = None
    purchase_id: str | None = None
    brought_by: str | None = None
    """Who does not get to decide it; sellers never do."""
    subject: str | None = None
    """Whom it is about, where the listing and the purchase do not say it."""
    reported: str | None = None
    """Of a reported review: its words, and the reply's, as they were."""
    against: str | None = None
    """The case that it is an appeal against: who decided that, or brought it up, does not decide this one."""


@public
class ListReasons(Query[ReasonsView]):
    """List the reasons that decisions have, in words, with what can be done next."""


@requires(Role.MODERATOR, scope="moderation:read")
class ListCases(Query[Page[CaseView]]):
    """List cases: the open ones unless another state is asked for, newest first unless the oldest are wanted."""

    state: CaseState = CaseState.OPEN
    kind: CaseKind | None = None
    claimed_by: ClaimedBy | None = None
    order: CaseOrder = CaseOrder.NEWEST
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.MODERATOR, scope="moderation:read")
class GetQueue(Query[CaseQueueView]):
    """Read how many cases of each kind are waiting, for how long, and how long decisions take."""


@requires(Role.MODERATOR, scope="moderation:read")
class GetCase(Query[CaseDetailView]):
    """Read a case and its listing."""

    case_id: CaseId


@requires(Role.MODERATOR, scope="moderation:write")
class ClaimCase(Command[CaseView]):
    """Take a case, so that nobody else decides it; a case that is yours already stays so for longer.

    The claim ends by itself after a while (`claimed_until`) unless you go on: claiming again and reading the content
    prolong it. 409 `case_claimed` while it is another moderator's, `already_decided` or `case_obsolete` where there is
    nothing to decide; 403 for what you may not judge: your own listing (`own_case`), what you bought or brought up
    yourself (`interested_party`), an appeal against your own decision (`own_decision`).
    """

    case_id: CaseId


@requires(Role.MODERATOR, scope="moderation:write")
class ReleaseCase(Command[CaseView]):
    """Give a case back that you have claimed. One that is not yours stays as it is."""

    case_id: CaseId


@requires(Role.MODERATOR, scope="moderation:read")
class ReadCaseContent(Command[CaseContentView]):
    """Read the sealed text that a case is about. Only who has claimed the case may; that they did is in the audit log.

    It prolongs the claim. 409 `not_claimed` for anyone else.
    """

    case_id: CaseId


@requires(Role.MODERATOR, scope="moderation:write")
class DecideCase(Command[CaseView]):
    """Decide a case that you have claimed; the seller is told the decision, the reason and the public note.

    The reason must be one for this decision (422). An approval is held, 409 `copy_decided`, where a copy was decided
    about since the checks ran: it is among the findings then, and who has seen them decides again. 409 `not_claimed`
    where the claim is not yours (any more), `illegal_decision` naming those that this kind of case allows,
    `already_decided`, `case_obsolete` where the listing has moved on; 403 as for claiming. Your own decision, sent
    again word for word, is answered with the case as it was decided.
    """

    case_id: CaseId
    decision: Verdict
    reason_code: ReasonCode
    public_note: Note
    internal_note: Note | None = None
