"""Reviews. Whatever changes one changes its listing's rating in the same transaction; a job checks that it did."""

from __future__ import annotations

from dataclasses import replace

import structlog

from promptforge.actors.marketplace.errors import ReviewRemoved
from promptforge.actors.marketplace.listings.store import ListingStore, no_listing
from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.marketplace.purchases.store import PurchaseStore
from promptforge.actors.marketplace.reviews.messages import (
    CheckRatings,
    DeleteReply,
    DeleteReview,
    FindReview,
    ListReviews,
    RemoveReview,
    ReplyToReview,
    ReviewView,
    WriteReview,
)
from promptforge.actors.marketplace.reviews.ratings import Ratings
from promptforge.actors.marketplace.reviews.store import Rating, Review, ReviewStore, no_review, review_id
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

log = structlog.get_logger(__name__)


class ReviewsActor(Actor):
    name = "reviews"

    def __init__(self, reviews: ReviewStore, purchases: PurchaseStore, listings: ListingStore) -> None:
        self._reviews = reviews
        self._purchases = purchases
        self._listings = listings
        self._ratings = Ratings(reviews, listings)

    @handles(WriteReview, key="purchase_id", atomic=True)
    async def write(self, message: WriteReview, context: Context) -> ReviewView:
        """The purchase is written too, so that a refund at the same moment comes before or after."""
        session = context.session
        purchase = await self._purchases.mark_reviewed(
            message.purchase_id, context.user_id, now=context.now(), session=session
        )
        before = await self._reviews.find(review_id(purchase.id), session=session)
        if before is not None and before.removed_at is not None:
            raise ReviewRemoved
        if before is not None:
            after = replace(before, stars=message.stars, text=message.text, edited_at=context.now())
            return (await self._ratings.put(before, after, context)).view()
        after = Review(
            id=review_id(purchase.id),
            purchase_id=purchase.id,
            listing_id=purchase.listing_id,
            seller_id=purchase.seller_id,
            author_id=context.user_id,
            version=purchase.version,
            stars=message.stars,
            text=message.text,
            counted=purchase.counts,
            reply=None,
            replied_at=None,
            created_at=context.now(),
            edited_at=None,
            removed_at=None,
        )
        await self._ratings.put(None, after, context)
        await context.enqueue(_told_to_seller(after, purchase.title), owner_id=after.seller_id)
        return after.view()

    @handles(DeleteReview, key="purchase_id", atomic=True)
    async def delete(self, message: DeleteReview, context: Context) -> None:
        review = await self._reviews.get_shown(review_id(message.purchase_id), session=context.session)
        if review.author_id != context.user_id:
            raise no_review()
        await self._ratings.delete(review, context)

    @handles(ListReviews)
    async def list_reviews(self, message: ListReviews, context: Context) -> Page[ReviewView]:
        listing = await self._listings.get(message.listing_id)
        own = context.principal is not None and context.principal.user_id == listing.seller_id
        if listing.state is not ListingState.PUBLISHED and not own:
            raise no_listing()
        cursor = Cursor.decode_optional(message.cursor)
        return await self._reviews.list_shown(listing.id, cursor=cursor, limit=message.limit)

    # The seller's answer

    @handles(ReplyToReview, key="review_id", atomic=True)
    async def reply(self, message: ReplyToReview, context: Context) -> ReviewView:
        review = await self._of_seller(message.review_id, context)
        after = replace(review, reply=message.text, replied_at=context.now())
        return (await self._ratings.put(review, after, context)).view()

    @handles(DeleteReply, key="review_id", atomic=True)
    async def delete_reply(self, message: DeleteReply, context: Context) -> ReviewView:
        review = await self._of_seller(message.review_id, context)
        after = replace(review, reply=None, replied_at=None)
        return (await self._ratings.put(review, after, context)).view()

    async def _of_seller(self, identifier: str, context: Context) -> Review:
        review = await self._reviews.get_shown(identifier, session=context.session)
        if review.seller_id != context.user_id:
            raise no_review()
        return review

    # Moderation

    @handles(FindReview, transactional=True)
    async def find(self, message: FindReview, context: Context) -> ReviewView | None:
        review = await self._reviews.find(message.review_id, session=context.session)
        return None if review is None or review.removed_at is not None else review.view()

    @handles(RemoveReview, key="review_id", atomic=True)
    async def remove(self, message: RemoveReview, context: Context) -> ReviewView:
        review = await self._reviews.get_shown(message.review_id, session=context.session)
        after = replace(review, counted=False, removed_at=context.now())
        await self._ratings.put(review, after, context)
        await context.enqueue(_told_to_author(after, message), owner_id=after.author_id)
        facts = {"listing_id": review.listing_id, "reason_code": message.reason_code}
        await context.audit("review.removed", review.id, after=facts)
        return after.view()

    # Whether it adds up

    @handles(CheckRatings)
    async def check_ratings(self, message: CheckRatings, context: Context) -> int:
        """Compared one by one as they come; what seems to differ is looked at again in a snapshot."""
        suspects = [one async for one, rating in self._reviews.count_all() if await self._differs(one, rating)]
        async for listing_id in self._listings.list_rated():
            rating = await self._reviews.count_of(listing_id, session=None)
            if await self._differs(listing_id, rating):
                suspects.append(listing_id)
        drifted = [one for one in dict.fromkeys(suspects) if await self._has_drifted(one, context)]
        for listing_id in drifted:
            log.error("ratings.drifted", listing_id=listing_id)
        return len(drifted)

    async def _differs(self, listing_id: str, counted: Rating) -> bool:
        shown = await self._listings.find_rating(listing_id)
        return shown is not None and Rating(*shown) != counted

    async def _has_drifted(self, listing_id: str, context: Context) -> bool:
        async def work(tx: Context) -> bool:
            shown = await self._listings.find_rating(listing_id, session=tx.session)
            counted = await self._reviews.count_of(listing_id, session=tx.session)
            return shown is not None and Rating(*shown) != counted

        return await context.transaction(work)


def _told_to_seller(review: Review, title: str) -> NotifyUser:
    return NotifyUser(
        user_id=review.seller_id,
        kind="listing.reviewed",
        title=f"Reviewed: {title}",
        body=f"“{title}” has a new review, with {review.stars} of 5 stars.",
        subject={"review_id": review.id, "listing_id": review.listing_id},
        dedupe_key=f"listing.reviewed:{review.id}",
    )


def _told_to_author(review: Review, message: RemoveReview) -> NotifyUser:
    return NotifyUser(
        user_id=review.author_id,
        kind="review.removed",
        title="Your review was removed",
        body=f"A moderator has removed a review of yours.\n\n{message.explanation}",
        subject={"review_id": review.id, "listing_id": review.listing_id, "reason_code": message.reason_code},
        dedupe_key=f"review.removed:{review.id}",
    )
