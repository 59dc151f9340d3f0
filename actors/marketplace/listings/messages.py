"""What sellers do about what is on offer or was decided, and the history that they read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Le

from promptforge.actors.evaluations.messages import EvaluationId
from promptforge.actors.marketplace.messages import (
    Category,
    Description,
    FieldChange,
    Licence,
    ListingId,
    ListingState,
    ListingView,
    Samples,
    Summary,
    Tag,
    Tags,
    Title,
    Words,
)
from promptforge.actors.packages.messages import PackageId, PackageVersion
from promptforge.actors.search.messages import Facet, IndexState, SearchedText
from promptforge.core.amounts import CreditAmount
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What became of a listing with one `revision`. `by`: whoever did it, where that is yours to know."""

    revision: int
    move: str
    by: str | None
    state: ListingState
    changes: tuple[FieldChange, ...]
    reason_code: str | None
    note: str | None
    created_at: datetime


@requires(Role.SELLER, scope="listings:write")
class WithdrawProposal(Command[ListingView]):
    """Take back what you proposed to change; the listing stays as it is."""

    listing_id: ListingId


@requires(scope="listings:write", while_suspended=True, fresh=True)
class AppealListing(Command[ListingView]):
    """Appeal a rejection or a suspension, once, in your own words. Another moderator decides; until then it stands.

    409 `already_appealed`, `nothing_to_appeal` where the decision is final, and `appeal_too_late` once the decision's
    `appeal_until` has passed.
    """

    listing_id: ListingId
    words: Words


@requires(scope="listings:write", while_suspended=True, fresh=True)
class AppealProposal(Command[ListingView]):
    """Appeal the rejection of a change that you proposed, once, in your own words. It is in review again as it was, and
    another moderator decides about it.

    409 `nothing_to_appeal` where no change was rejected or the rejection is final, and `appeal_too_late`. A change that
    you edit is another one, and is proposed without an appeal.
    """

    listing_id: ListingId
    words: Words


@dataclass(frozen=True, slots=True)
class VersionsThen:
    """What a listing sold at a moment, and which other version its proposal had; None: that it had none.

    `sold` is None where that was before the listing had a history.
    """

    sold: int | None
    proposed: int | None


@internal
class GetVersionsThen(Query[tuple[VersionsThen, ...]]):
    """Which versions a listing sold and proposed at these moments: each a revision of its proposal, and a time."""

    listing_id: ListingId
    moments: tuple[tuple[int, datetime], ...]


@requires(Role.SELLER, Role.MODERATOR, scope="listings:read")
class GetListingHistory(Query[Page[HistoryEntry]]):
    """Read everything that became of a listing of yours, newest first; moderators read any listing's."""

    listing_id: ListingId
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.SELLER, scope="listings:write")
class AttachEvidence(Command[ListingView]):
    """Show with a listing how its version did in a finished evaluation; it takes the place of an older scorecard.

    409 `evidence_mismatch` where the evaluation is of another version, `evaluation_not_finished`; 404 where it is of
    another prompt, or its dataset was deleted.
    """

    listing_id: ListingId
    evaluation_id: EvaluationId


@requires(Role.SELLER, scope="listings:write")
class RemoveEvidence(Command[ListingView]):
    """Show no scorecard with a listing any more."""

    listing_id: ListingId


# Browsing


class ListingSort(StrEnum):
    """`top_rated`, `best_selling` and `trending` go by ranks that are worked out every ten minutes."""

    NEW = "new"
    PRICE = "price"
    TOP_RATED = "top_rated"
    BEST_SELLING = "best_selling"
    TRENDING = "trending"


@dataclass(frozen=True, slots=True)
class ListingsPage(Page[ListingView]):
    """`total` and `facets` where they were asked for, or where words were; `index_state` says how fresh they are."""

    total: int | None = None
    facets: tuple[Facet, ...] | None = None
    index_state: IndexState | None = None


@public
class ListListings(Query[ListingsPage]):
    """Browse published listings: the newest first, the cheapest, the best rated, the best selling, or the trending.

    With `q` they are searched, the most fitting first where no `sort` is given, and so are those with a `scorecard` of
    the version that they sell: of these the first 500 can be paged through. `facets` counts what the filters leave, by
    category, licence, price and so on. `free` is those that cost nothing; prices are in credits, `min_rating` in stars.
    """

    q: SearchedText | None = None
    category: Category | None = None
    tag: Tag | None = None
    licence: Licence | None = None
    free: bool = False
    min_price: CreditAmount | None = None
    max_price: CreditAmount | None = None
    min_rating: Annotated[float, Ge(1), Le(5)] | None = None
    scorecard: bool = False
    sort: ListingSort | None = None
    facets: bool = False
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.SELLER, scope="listings:write")
class CreatePackageListing(Command[ListingView]):
    """Draft a listing of a published version of one of your packages. It is sold with its source.

    409 `package_yanked`, `package_revoked`, `not_published`.
    """

    package_id: PackageId
    version: PackageVersion
    title: Title
    summary: Summary
    description: Description
    category: Category
    tags: Tags = ()
    samples: Samples = ()
    price: CreditAmount


@requires(Role.SELLER, scope="listings:write")
class OfferPackageVersion(Command[ListingView]):
    """Have a listing of a package sell another version of it; of one that is on offer this becomes its `proposal`."""

    listing_id: ListingId
    version: PackageVersion


# The end of an account


@internal
class LeaveMarket(Command[int]):
    """Take everything that somebody sells, or has in review, off the market for good; answers how many listings."""

    seller_id: str


@internal
class ListOfferedVersions(Query[tuple[tuple[str, int], ...]]):
    """The versions of these prompts that people offer, or have drafted or proposed to offer: all but this seller."""

    prompt_ids: tuple[str, ...]
    but_by: str


# Packages that do harm


@internal
class TakeRevokedOffMarket(Command[int]):
    """Take what sells a revoked version of a package off the market, or out of review; answers how many listings.

    The seller is told, and may propose another version. Sent again, it does nothing again.
    """

    package_id: str
    number: int
    """Of the version."""
    reason: str
