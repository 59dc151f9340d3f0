"""What sellers answer to reviews, for all to see, and what becomes of answers that moderators remove."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from promptforge.actors.marketplace.errors import NothingToAppeal, ReplyRemoved
from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.reviews import notices
from promptforge.actors.marketplace.reviews.appeals import reply_appeal_case, why_of
from promptforge.actors.marketplace.reviews.messages import (
    AppealReplyRemoval,
    DecideReplyAppeal,
    DeleteReply,
    FindRemovedReply,
    GetOwnReply,
    OwnReplyView,
    RemoveReply,
    ReplyToReview,
    ReviewView,
)
from promptforge.actors.marketplace.reviews.store import Review, ReviewStore, no_review
from promptforge.actors.marketplace.rulings import domain as rulings
from promptforge.actors.users.messages import IsAccountClosed
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.runtime import Actor, handles


class RepliesActor(Actor):
    """`appeal_for`: how long the removal of a reply can be appealed."""

    name = "replies"
    asks = ("users",)

    def __init__(self, reviews: ReviewStore, listings: ListingStore, *, appeal_for: timedelta) -> None:
        self._reviews = reviews
        self._listings = listings
        self._appeal_for = appeal_for

    @handles(ReplyToReview, key="review_id", atomic=True)
    async def reply(self, message: ReplyToReview, context: Context) -> ReviewView:
        review = await self._of_seller(message.review_id, context)
        if review.reply_removed_at is not None:
            raise ReplyRemoved
        return (await self._put(replace(review, reply=message.text, replied_at=context.now()), context)).view()

    @handles(DeleteReply, key="review_id", atomic=True)
    async def delete(self, message: DeleteReply, context: Context) -> ReviewView:
        review = await self._of_seller(message.review_id, context)
        return (await self._put(replace(review, reply=None, replied_at=None), context)).view()

    async def _of_seller(self, review_id: str, context: Context) -> Review:
        review = await self._reviews.get_shown(review_id, session=context.session)
        if review.seller_id != context.user_id:
            raise no_review()
        return review

    async def _put(self, review: Review, context: Context) -> Review:
        return await self._reviews.put(review, session=context.session)

    # What was removed

    @handles(GetOwnReply, transactional=True)
    async def get_own(self, message: GetOwnReply, context: Context) -> OwnReplyView:
        return (await self._own(message.review_id, context)).own_reply_view()

    async def _own(self, review_id: str, context: Context) -> Review:
        """Also where the review that it answers was removed."""
        review = await self._reviews.find(review_id, session=context.session)
        if review is None or review.seller_id != context.user_id:
            raise no_review()
        if review.reply is None and review.reply_removal is None:
            raise NotFound("You have not replied to this review")
        return review

    @handles(RemoveReply, key="review_id", atomic=True)
    async def remove(self, message: RemoveReply, context: Context) -> None:
        review = await self._reviews.get_shown(message.review_id, session=context.session)
        if not review.shows_reply:
            raise NotFound("There is no reply to this review")
        now, until = context.now(), context.now() + self._appeal_for
        removal = rulings.made(why_of(message), now, appeal_until=until)
        after = await self._put(replace(review, reply_removed_at=now, reply_removal=removal), context)
        await context.enqueue(notices.reply_removed(after, message, until), owner_id=after.seller_id)
        await context.audit("review.reply_removed", review.id, after=_facts(review, message.reason_code))

    @handles(AppealReplyRemoval, key="review_id", atomic=True)
    async def appeal(self, message: AppealReplyRemoval, context: Context) -> OwnReplyView:
        """Of two at once the second conflicts, starts over and sees the first."""
        review = await self._own(message.review_id, context)
        if review.reply_removed_at is None or review.reply is None:
            raise NothingToAppeal
        appealed = replace(review, reply_removal=rulings.appealed(review.reply_removal, context.now()))
        await self._put(appealed, context)
        listing = await self._listings.get(review.listing_id, session=context.session)
        case = reply_appeal_case(listing, appealed, message.words)
        await context.enqueue(case, unique=f"reply_appeal:{case.against}")
        return appealed.own_reply_view()

    @handles(FindRemovedReply, transactional=True)
    async def find_removed(self, message: FindRemovedReply, context: Context) -> ReviewView | None:
        review = await self._appealed(message.review_id, context)
        return None if review is None else replace(review, reply_removed_at=None).view()

    async def _appealed(self, review_id: str, context: Context) -> Review | None:
        review = await self._reviews.find(review_id, session=context.session)
        if review is None or review.reply is None or not rulings.waits(review.reply_removal):
            return None
        return None if await context.ask(IsAccountClosed(user_id=review.seller_id)) else review

    @handles(DecideReplyAppeal, key="review_id", atomic=True)
    async def decide_appeal(self, message: DecideReplyAppeal, context: Context) -> None:
        review = await self._appealed(message.review_id, context)
        if review is None or review.reply_removal is None:
            raise NothingToAppeal
        removal = rulings.heard(review.reply_removal, why_of(message), context.now(), granted=message.granted)
        removed_at: datetime | None = None if message.granted else review.reply_removed_at
        after = await self._put(replace(review, reply_removal=removal, reply_removed_at=removed_at), context)
        await context.enqueue(notices.reply_appeal_heard(after, message), owner_id=after.seller_id)
        action = "review.reply_restored" if message.granted else "review.reply_removal_upheld"
        await context.audit(action, review.id, after=_facts(review, message.reason_code))


def _facts(review: Review, reason_code: str) -> dict[str, str]:
    """For the audit log."""
    return {"listing_id": review.listing_id, "reason_code": reason_code}
