"""Listings and purchases: what sellers offer, what buyers own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import MISSING, Field

from promptforge.actors.marketplace.packaged import PackageOffer
from promptforge.actors.marketplace.refunds.messages import RefundView
from promptforge.actors.marketplace.rulings.messages import RulingView
from promptforge.actors.marketplace.sealed.terms import RunTerms
from promptforge.actors.marketplace.titles import ONE_SCRIPT
from promptforge.actors.prompts.messages import ChatMessage, ModelSettings, PromptKind
from promptforge.core.amounts import CreditAmount
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import LINE, TEXT

ListingId = Annotated[str, Len(1, 64)]
PurchaseId = Annotated[str, Len(1, 64)]
Revision = Annotated[int, Ge(1)]
Title = Annotated[str, Len(3, 120), LINE, ONE_SCRIPT, Field(examples=["Summaries for people in a hurry"])]
Summary = Annotated[str, Len(3, 300), LINE, ONE_SCRIPT]
Description = Annotated[str, Len(3, 10_000), TEXT]
Tag = Annotated[str, Len(1, 40), LINE, ONE_SCRIPT]
Samples = Annotated[tuple[Annotated[str, Len(1, 4000), TEXT], ...], Len(0, 5)]
Words = Annotated[str, Len(10, 2000), TEXT]
Tags = Annotated[tuple[Tag, ...], Len(0, 10)]


class Category(StrEnum):
    WRITING = "writing"
    CODING = "coding"
    ANALYSIS = "analysis"
    EDUCATION = "education"
    MARKETING = "marketing"
    DESIGN = "design"
    RESEARCH = "research"
    SUPPORT = "support"
    OTHER = "other"


class Licence(StrEnum):
    """`source` reveals the text to the buyer; `runs` never does: the service runs it for them (docs/sealed-runs.md)."""

    SOURCE = "source"
    RUNS = "runs"


class ListingState(StrEnum):
    DRAFT = "draft"
    IN_REVIEW = "in_review"
    CHANGES_REQUESTED = "changes_requested"
    REJECTED = "rejected"
    PUBLISHED = "published"
    UNLISTED = "unlisted"
    SUSPENDED = "suspended"
    """Taken off the market by a moderator, who can put it back to where it was."""


class Decision(StrEnum):
    """What a moderator may decide: the first three about a listing in review, or one that was rejected and appealed.

    `suspend` takes a listing off the market, or answers the appeal against that; `lift` puts it back to where it was.
    """

    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    REJECT = "reject"
    SUSPEND = "suspend"
    LIFT = "lift"


@dataclass(frozen=True, slots=True)
class ReviewNote:
    """The last decision on a listing, for its seller: a stable reason code and words.

    A rejection and a suspension can be appealed, once (`appealed_at`), until `appeal_until` (null: it has no appeal, or
    no limit where it is from before there was one). What the appeal ends with is `final`.
    """

    decision: Decision
    reason_code: str
    note: str
    decided_at: datetime
    appealed_at: datetime | None = None
    final: bool = False
    appeal_until: datetime | None = None


class ProposalState(StrEnum):
    IN_REVIEW = "in_review"
    CHANGES_REQUESTED = "changes_requested"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What became, or would become, of a field of a listing. Prices are in credits."""

    field: str
    before: str | int | tuple[str, ...] | None
    after: str | int | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A change of a listing on offer, which stays as it is until a moderator approves exactly this `revision` of it."""

    revision: int
    state: ProposalState
    changes: tuple[FieldChange, ...]
    proposed_at: datetime
    review: ReviewNote | None


class EvidenceState(StrEnum):
    CURRENT = "current"
    OUTDATED = "outdated"


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """How a version did in an evaluation: on a named model, over every item of a dataset, judged by these scorers.

    `outdated`, with the reason, once the listing sells another version or the dataset is gone. `tiny_model`: the small
    local model, whose answers are worth little. `dataset_name` is for its seller and moderators, for nobody reviews it.
    """

    state: EvidenceState
    outdated_because: str | None
    evaluation_id: str
    version: int
    model: str
    tiny_model: bool
    dataset_name: str | None
    dataset_revision: int
    scorers: tuple[str, ...]
    items: int
    passed: int
    pass_rate: float | None
    mean_score: float | None
    evaluated_at: datetime
    attached_at: datetime


@dataclass(frozen=True, slots=True)
class RatingView:
    """From how many reviews that count, and how many stars of five on average: null where there are none."""

    count: int
    average: float | None


@dataclass(frozen=True, slots=True)
class ListingView:
    """A listing without what it sells: a prompt's version, or a `package` (`prompt_id` is its id then, and `version`
    the number of its version, as they were published). `revision` grows with every change.

    `samples`, outputs that its seller shows, are told where one listing is read, and not in lists of the market.
    `review` and `proposal` are shown to its seller only.
    """

    id: str
    seller_id: str
    state: ListingState
    revision: int
    prompt_id: str
    version: int
    title: str
    summary: str
    description: str
    category: Category
    tags: tuple[str, ...]
    price: str
    licence: Licence
    review: ReviewNote | None
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    proposal: ProposalView | None = None
    rating: RatingView = RatingView(0, None)
    evidence: EvidenceView | None = None
    runs: RunTerms | None = None
    package: PackageOffer | None = None
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PurchaseView:
    """What was bought and on which terms, as they were then; `runs` of the licence of that name. `price` is in credits.

    Until `automatic_refund_until` the credits come back for the asking, if it stays unused. `newer_version` is in lists
    only: what the listing sells today, where that is a later version. `content_hash` is null of runs, for by it whoever
    has guessed a text could tell that it is right.
    """

    id: str
    listing_id: str
    seller_id: str
    buyer_id: str
    title: str
    prompt_id: str
    version: int
    content_hash: str | None
    licence: Licence
    price: str
    refund_policy: str
    used_at: datetime | None
    refunded_at: datetime | None
    created_at: datetime
    automatic_refund_until: datetime | None = None
    refund: RefundView | None = None
    newer_version: int | None = None
    runs: RunTerms | None = None
    package: PackageOffer | None = None


@dataclass(frozen=True, slots=True)
class PurchasedContentView:
    """A purchase with the text that was bought and how it wants to be run; null of `runs`, and of a `package`."""

    id: str
    listing_id: str
    title: str
    prompt_id: str
    version: int
    licence: Licence
    price: str
    used_at: datetime | None
    created_at: datetime
    kind: PromptKind | None
    content: str | tuple[ChatMessage, ...] | None
    settings: ModelSettings | None
    runs: RunTerms | None = None
    package: PackageOffer | None = None


@dataclass(frozen=True, slots=True)
class SaleView:
    """A sale as its seller sees it: the price less the platform's `fee` is their `net`; who bought stays private.

    `ruling`: why a moderator granted a refund of it, and how an appeal against that stands. Once that was granted, the
    buyer keeps the refund, and the platform gives you your share.
    """

    id: str
    listing_id: str
    title: str
    price: str
    net: str
    created_at: datetime
    fee: str = "0"
    refunded_at: datetime | None = None
    ruling: RulingView | None = None


# Selling


@requires(Role.SELLER, scope="listings:write")
class CreateListing(Command[ListingView]):
    """Draft a listing of one version of one of your prompts. Nobody sees it before a moderator approves it.

    The licence `runs` needs `runs`: the model and your share of each run. With them a `source` listing can have trials.
    Of what is run unseen, verbatim copies are withheld; paraphrase, translation and extraction piece by piece cannot be
    excluded (docs/sealed-runs.md).
    """

    prompt_id: Annotated[str, Len(1, 64)]
    version: Annotated[int, Ge(1), Le(1_000_000)]
    title: Title
    summary: Summary
    description: Description
    category: Category
    tags: Tags = ()
    samples: Samples = ()
    price: CreditAmount
    licence: Licence = Licence.SOURCE
    runs: RunTerms | None = None


@requires(Role.SELLER, scope="listings:write")
class UpdateListing(Command[ListingView]):
    """Change a listing: only the fields that are sent change.

    A draft, or a listing whose reviewer asked for changes, changes at once. Of one that is on offer a lower price does,
    and everything else becomes its `proposal`: it waits for a moderator while the listing stays as it is. Further edits
    add to the proposal, and what is sent as it is already is proposed no more. With `revision` the listing must still
    be at that revision (409 `stale_revision`).
    """

    listing_id: ListingId
    revision: Revision | None = None
    version: Annotated[int, Ge(1), Le(1_000_000)] | MISSING = MISSING
    title: Title | MISSING = MISSING
    summary: Summary | MISSING = MISSING
    description: Description | MISSING = MISSING
    category: Category | MISSING = MISSING
    tags: Tags | MISSING = MISSING
    samples: Samples | MISSING = MISSING
    price: CreditAmount | MISSING = MISSING
    licence: Licence | MISSING = MISSING
    runs: RunTerms | MISSING | None = MISSING


@requires(Role.SELLER, scope="listings:write")
class SubmitListing(Command[ListingView]):
    """Submit a draft listing for moderation."""

    listing_id: ListingId


@requires(Role.SELLER, scope="listings:write")
class WithdrawListing(Command[ListingView]):
    """Take a listing out of review; it becomes a draft again."""

    listing_id: ListingId


@requires(Role.SELLER, scope="listings:write")
class UnlistListing(Command[ListingView]):
    """Take a published listing off the market. Who bought it keeps it."""

    listing_id: ListingId


@requires(Role.SELLER, scope="listings:write")
class RelistListing(Command[ListingView]):
    """Put an unlisted listing back on the market."""

    listing_id: ListingId


@requires(scope="listings:read")
class ListMyListings(Query[Page[ListingView]]):
    """List your own listings in every state, newest first."""

    state: ListingState | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="listings:read")
class ListSales(Query[Page[SaleView]]):
    """List your sales, newest first."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


# Buying


@public
class GetListing(Query[ListingView]):
    """Read a published listing, or one of your own in any state."""

    listing_id: ListingId


@requires(scope="purchases:write", fresh=True)
class PurchaseListing(Command[PurchaseView]):
    """Buy a listing with credits, at `expected_price`.

    All or nothing: you are debited, the seller's earnings and the platform's fee are booked, and the content is yours.
    402 `insufficient_credits`, 409 `already_owned` (naming the purchase), `price_changed`, `licence_changed` or
    `not_for_sale`, 403 `own_listing`; and of runs 403 `runs_stopped` or `runs_barred`, where yours are.
    With `expected_revision` the listing, terms of its runs included, is the one that you read (409 `stale_revision`).

    Who has bought `runs` of a listing that sells the source by now buys that as well with `expected_licence` `source`,
    at its full price; the runs stay theirs, and each of the two purchases can be refunded by itself.
    """

    listing_id: ListingId
    expected_price: CreditAmount
    expected_licence: Licence | None = None
    expected_revision: Revision | None = None


@requires(scope="purchases:read")
class ListPurchases(Query[Page[PurchaseView]]):
    """List what you bought, newest first, with a notice where its listing sells a newer version by now."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="purchases:read", while_suspended=True)
class GetPurchase(Command[PurchasedContentView]):
    """Read something you bought, content included. Reading it counts as using it, which ends automatic refunds.

    Of the licence `runs` there is no content to read, and reading it is no use.
    """

    purchase_id: PurchaseId


# For other features


@dataclass(frozen=True, slots=True)
class PurchasedSource:
    """Which version was bought with its source, and by which purchase."""

    purchase_id: str
    version: int


@internal
class FindPurchasedSource(Query[PurchasedSource | None]):
    """What `UsePurchasedSource` would answer, without counting as a use."""

    prompt_id: str
    version: int | None
    buyer_id: str


@internal
class UsePurchasedSource(Command[PurchasedSource | None]):
    """The purchase by which a buyer may see the source of a prompt, in this version where one is named.

    The purchase counts as used from then on, in the asker's transaction. None where they bought no source of it.
    """

    prompt_id: str
    version: int | None
    buyer_id: str


# Refunds


@internal
class RefundPurchase(Command[PurchaseView]):
    """Give the buyer their credits back and take the purchase from them, in one transaction; once.

    Whether a purchase may be refunded is for the asker to say. Raises `NotFound`.
    """

    purchase_id: PurchaseId
    reason: Annotated[str, Len(3, 500)]


@internal
class HasOffered(Query[bool]):
    """Whether anything of this seller is, or ever was, on the market."""

    seller_id: str


@internal
class RevokePurchase(Command[None]):
    """The ledger has taken a sale back, because its payment was disputed: the buyer owns it no more."""

    purchase_id: PurchaseId


# For moderation


@internal
class GetListingForReview(Query[ListingView]):
    """Any listing in any state."""

    listing_id: ListingId


@internal
class ApplyDecision(Command[ListingView]):
    """Carry out a moderator's decision.

    To approve, request changes or reject takes exactly the revision that was reviewed, of the listing or of what its
    seller proposes to change. A suspension holds whatever the seller has done meanwhile, and so does its end. Raises
    `ListingMoved` or `IllegalMove`.
    """

    listing_id: ListingId
    revision: int
    decision: Decision
    moderator_id: str
    reason_code: str
    public_note: str
