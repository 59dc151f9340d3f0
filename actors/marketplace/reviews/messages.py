"""Reviews of what was bought, the seller's replies, and what moderators take away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Ge, Le, Len

from promptforge.actors.marketplace.messages import ListingId, PurchaseId, Words
from promptforge.actors.marketplace.rulings.messages import RulingView
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


@dataclass(frozen=True, slots=True)
class OwnReviewView:
    """A review that you wrote. `removed_at`: a moderator has taken it away, and `removal` says why, and how an appeal
    against that stands; it stays to be read where the review is back. `withdrawn`: you took it back after that.
    """

    review: ReviewView
    removed_at: datetime | None
    withdrawn: bool
    removal: RulingView | None


@dataclass(frozen=True, slots=True)
class OwnReplyView:
    """Your reply to a review. `removed_at`: a moderator has taken it away, and `removal` says why, and how an appeal
    against that stands; it stays to be read where the reply is back. `text` is null once you have taken it back.
    """

    review_id: str
    text: str | None
    replied_at: datetime | None
    removed_at: datetime | None
    removal: RulingView | None


@requires(scope="purchases:read", while_suspended=True)
class GetOwnReview(Query[OwnReviewView]):
    """Read your review of a purchase, removed or not, and why it was removed."""

    purchase_id: PurchaseId


@requires(scope="purchases:write", while_suspended=True, fresh=True)
class AppealRemoval(Command[OwnReviewView]):
    """Appeal the removal of your review, once, in your own words: another moderator decides, and that is final.

    If it is granted, the review is back as it was. 409 `nothing_to_appeal` where none was removed, you took it back or
    it was decided for good, `already_appealed`, and `appeal_too_late` once `removal.appeal_until` has passed.
    """

    purchase_id: PurchaseId
    words: Words


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
    """Take your review back; you may write another one, unless a moderator has removed this one.

    Of a removed one the text goes, and with it what could be appealed.
    """

    purchase_id: PurchaseId


@public
class ListReviews(Query[Page[ReviewView]]):
    """List the reviews of a published listing, newest first."""

    listing_id: ListingId
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.SELLER, scope="listings:write")
class ReplyToReview(Command[ReviewView]):
    """Answer a review of a listing of yours, for all to see; the same again changes the answer. 409 `reply_removed`."""

    review_id: ReviewId
    text: ReviewText


@requires(Role.SELLER, scope="listings:write")
class DeleteReply(Command[ReviewView]):
    """Take back your answer to a review."""

    review_id: ReviewId


@requires(scope="listings:read", while_suspended=True)
class GetOwnReply(Query[OwnReplyView]):
    """Read your reply to a review, removed or not, and why it was removed."""

    review_id: ReviewId


@requires(scope="listings:write", while_suspended=True, fresh=True)
class AppealReplyRemoval(Command[OwnReplyView]):
    """Appeal the removal of your reply to a review, once, in your own words. Another moderator decides, for good.

    If it is granted, the reply is back as it was. 409 `nothing_to_appeal` where none was removed, you took it back or
    it was decided for good, `already_appealed`, and `appeal_too_late` once `removal.appeal_until` has passed.
    """

    review_id: ReviewId
    words: Words


@internal
class RemoveReply(Command[None]):
    """A moderator has decided a case so: take the seller's reply to a review away. The review stays.

    `explanation` is what the seller is told of the reason and of what can be done. Raises `NotFound`.
    """

    review_id: ReviewId
    case_id: Annotated[str, Len(1, 64)]
    reason_code: Annotated[str, Len(1, 50)]
    public_note: Annotated[str, Len(1, 2000)]
    explanation: Annotated[str, Len(1, 3000)]


@internal
class FindRemovedReply(Query[ReviewView | None]):
    """A review with the reply to it whose removal was appealed, and still is to be decided about.

    None where it is not: decided, taken back by its seller, or their account is closed; or the review is gone.
    """

    review_id: ReviewId


@internal
class DecideReplyAppeal(Command[None]):
    """A moderator has heard the appeal against a reply's removal. If it is `granted`, the reply is back as it was.

    Raises `NothingToAppeal` where there is nothing to decide.
    """

    review_id: ReviewId
    case_id: Annotated[str, Len(1, 64)]
    granted: bool
    reason_code: Annotated[str, Len(1, 50)]
    public_note: Annotated[str, Len(1, 2000)]
    explanation: Annotated[str, Len(1, 3000)]


@internal
class RemoveReview(Command[ReviewView]):
    """A moderator has decided a case so: take a review away, out of the listing's rating too.

    `explanation` is what its author is told of the reason and of what can be done. Raises `NotFound`.
    """

    review_id: ReviewId
    case_id: Annotated[str, Len(1, 64)]
    reason_code: Annotated[str, Len(1, 50)]
    public_note: Annotated[str, Len(1, 2000)]
    explanation: Annotated[str, Len(1, 3000)]


@internal
class FindRemovedReview(Query[ReviewView | None]):
    """A review whose removal was appealed, and still is to be decided about.

    None where it is not: decided, taken back by its author, or their account is closed.
    """

    review_id: ReviewId


@internal
class DecideRemovalAppeal(Command[None]):
    """A moderator has heard the appeal against a review's removal. If it is `granted`, the review is back as it was, in
    the listing's rating too where its purchase still counts. Raises `NothingToAppeal` where there is nothing to decide.
    """

    review_id: ReviewId
    case_id: Annotated[str, Len(1, 64)]
    granted: bool
    reason_code: Annotated[str, Len(1, 50)]
    public_note: Annotated[str, Len(1, 2000)]
    explanation: Annotated[str, Len(1, 3000)]


@internal
class FindReview(Query[ReviewView | None]):
    """A review that is shown, with the reply to it; None where there is none any more."""

    review_id: ReviewId


@internal
@job(timeout_seconds=600)
class LeaveOutLinked(Command[int]):
    """What somebody and accounts linked with theirs have bought of each other counts no more; answers how many."""

    user_id: Annotated[str, Len(1, 64)]


@internal
@job(timeout_seconds=600)
class CheckRatings(Command[int]):
    """Add up every listing's counted reviews and compare with the rating that it shows; answers how many differ."""
