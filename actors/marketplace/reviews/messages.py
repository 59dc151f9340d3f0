"""Reviews of what was bought, the seller's replies, and what moderators take away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Ge, Le, Len

from promptforge.actors.marketplace.messages import ListingId, PurchaseId
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.text import TEXT

ReviewId = Annotated[str, Len(1, 64)]
Stars = Annotated[int, Ge(1), Le(5)]
ReviewText = Annotated[str, Len(1, 4000), TEXT]


@dataclass(frozen=True, slots=True)
class ReviewView:
    """A review; who wrote it is not told. `counted`: it is part of the listing's rating.

    What was free, or was paid for with a gift or between linked accounts, is not counted, and neither is what was
    refunded.
    """

    id: str
    listing_id: str
    version: int
    stars: int
    text: str
    counted: bool
    reply: str | None
    replied_at: datetime | None
    created_at: datetime
    edited_at: datetime | None


@requires(scope="purchases:write")
class WriteReview(Command[ReviewView]):
    """Say what something is worth that you have bought, from one star to five. There is one review of each purchase:
    the same again changes it. 409 `purchase_refunded`, `review_removed`.
    """

    purchase_id: PurchaseId
    stars: Stars
    text: ReviewText


@requires(scope="purchases:write")
class DeleteReview(Command[None]):
    """Take your review back; you may write another one."""

    purchase_id: PurchaseId


@public
class ListReviews(Query[Page[ReviewView]]):
    """List the reviews of a published listing, newest first."""

    listing_id: ListingId
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.SELLER, scope="listings:write")
class ReplyToReview(Command[ReviewView]):
    """Answer a review of a listing of yours, for all to see; the same again changes the answer."""

    review_id: ReviewId
    text: ReviewText


@requires(Role.SELLER, scope="listings:write")
class DeleteReply(Command[ReviewView]):
    """Take back your answer to a review."""

    review_id: ReviewId


@internal
class RemoveReview(Command[ReviewView]):
    """A moderator has decided a case so: take a review away, out of the listing's rating too, for good.

    `explanation` is what its author is told of the reason and of what can be done. Raises `NotFound`.
    """

    review_id: ReviewId
    reason_code: Annotated[str, Len(1, 50)]
    explanation: Annotated[str, Len(1, 3000)]


@internal
class FindReview(Query[ReviewView | None]):
    """A review that is shown, with the reply to it; None where there is none any more."""

    review_id: ReviewId


@internal
@job(timeout_seconds=600)
class CheckRatings(Command[int]):
    """Add up every listing's counted reviews and compare with the rating that it shows; answers how many differ."""
