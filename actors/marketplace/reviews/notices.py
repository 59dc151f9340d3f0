"""How the people concerned hear of reviews and replies: a listing's seller, and who wrote what a moderator removed."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.marketplace.reviews.messages import (
    DecideRemovalAppeal,
    DecideReplyAppeal,
    RemoveReply,
    RemoveReview,
)
from promptforge.actors.marketplace.reviews.store import Review
from promptforge.actors.marketplace.rulings.telling import CHANGED, UPHELD, how_to_appeal
from promptforge.actors.notifications.messages import NotifyUser


def reviewed(review: Review, title: str) -> NotifyUser:
    """To the seller, once for each that is written: one that was taken back and written anew has the same id."""
    return NotifyUser(
        user_id=review.seller_id,
        kind="listing.reviewed",
        title=f"Reviewed: {title}",
        body=f"“{title}” has a new review, with {review.stars} of 5 stars.",
        subject={"review_id": review.id, "listing_id": review.listing_id},
        dedupe_key=f"listing.reviewed:{review.id}:{review.created_at.isoformat()}",
    )


def removed(review: Review, message: RemoveReview, appeal_until: datetime) -> NotifyUser:
    """To its author."""
    appeal = how_to_appeal(f"/marketplace/purchases/{review.purchase_id}/review/appeal", appeal_until)
    return NotifyUser(
        user_id=review.author_id,
        kind="review.removed",
        title="Your review was removed",
        body=f"A moderator has removed a review of yours.\n\n{message.explanation}\n\n{appeal}",
        subject={**_subject(review), "reason_code": message.reason_code},
        dedupe_key=f"review.removed:{message.case_id}",
    )


def appeal_heard(review: Review, message: DecideRemovalAppeal) -> list[NotifyUser]:
    """To its author, and where it is back to the seller as well."""
    kind, title, head = "review.removed", "Your review stays removed", UPHELD
    if message.granted:
        kind, title, head = "review.restored", "Your review is back", f"{CHANGED} Your review is shown again."
    told = [
        NotifyUser(
            user_id=review.author_id,
            kind=kind,
            title=title,
            body=f"{head}\n\n{message.explanation}",
            subject={**_subject(review), "reason_code": message.reason_code},
            dedupe_key=f"{kind}:{message.case_id}",
        )
    ]
    if message.granted:
        told.append(
            NotifyUser(
                user_id=review.seller_id,
                kind="listing.review_restored",
                title="A review of a listing of yours is back",
                body="A review of a listing of yours was removed, and another moderator has heard its author's appeal: "
                f"it is shown again, with {review.stars} of 5 stars. You can reply to it, and report it.",
                subject=_subject(review),
                dedupe_key=f"listing.review_restored:{message.case_id}",
            )
        )
    return told


def reply_removed(review: Review, message: RemoveReply, appeal_until: datetime) -> NotifyUser:
    """To the seller."""
    appeal = how_to_appeal(f"/marketplace/reviews/{review.id}/reply/appeal", appeal_until)
    return NotifyUser(
        user_id=review.seller_id,
        kind="review.reply_removed",
        title="Your reply to a review was removed",
        body="A moderator has removed a reply of yours to a review of a listing; the review stays.\n\n"
        f"{message.explanation}\n\n{appeal}",
        subject={**_subject(review), "reason_code": message.reason_code},
        dedupe_key=f"review.reply_removed:{message.case_id}",
    )


def reply_appeal_heard(review: Review, message: DecideReplyAppeal) -> NotifyUser:
    """To the seller."""
    kind, title, head = "review.reply_removed", "Your reply to a review stays removed", UPHELD
    if message.granted:
        kind, title, head = "review.reply_restored", "Your reply to a review is back", f"{CHANGED} It is shown again."
    return NotifyUser(
        user_id=review.seller_id,
        kind=kind,
        title=title,
        body=f"{head}\n\n{message.explanation}",
        subject={**_subject(review), "reason_code": message.reason_code},
        dedupe_key=f"{kind}:{message.case_id}",
    )


def _subject(review: Review) -> dict[str, str]:
    return {"review_id": review.id, "listing_id": review.listing_id}
