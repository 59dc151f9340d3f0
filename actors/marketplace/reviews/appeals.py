"""What a moderator hears of an appeal against the removal of a review, or of the reply to it."""

from __future__ import annotations

from promptforge.actors.marketplace.listings.store import Listing
from promptforge.actors.marketplace.reviews.messages import (
    DecideRemovalAppeal,
    DecideReplyAppeal,
    RemoveReply,
    RemoveReview,
)
from promptforge.actors.marketplace.reviews.store import Review
from promptforge.actors.marketplace.rulings.domain import Why
from promptforge.actors.moderation.messages import CaseKind, OpenCase


def why_of(message: RemoveReview | DecideRemovalAppeal | RemoveReply | DecideReplyAppeal) -> Why:
    return Why(message.case_id, message.reason_code, message.public_note)


def appeal_case(listing: Listing, review: Review, words: str) -> OpenCase:
    return OpenCase(
        listing_id=listing.id,
        revision=listing.revision,
        seller_id=listing.seller_id,
        title=listing.title,
        kind=CaseKind.REVIEW_APPEAL,
        reason=words,
        brought_by=review.author_id,
        subject=review.id,
        against=None if review.removal is None else review.removal["case_id"],
    )


def reply_appeal_case(listing: Listing, review: Review, words: str) -> OpenCase:
    return OpenCase(
        listing_id=listing.id,
        revision=listing.revision,
        seller_id=listing.seller_id,
        title=listing.title,
        kind=CaseKind.REPLY_APPEAL,
        reason=words,
        brought_by=review.seller_id,
        subject=review.id,
        against=None if review.reply_removal is None else review.reply_removal["case_id"],
    )
