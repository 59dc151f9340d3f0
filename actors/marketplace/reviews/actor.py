"""Reviews, and what becomes of those that moderators remove.

Whatever changes one changes its listing's rating in the same transaction; a job checks that it did.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import structlog

from promptforge.actors.billing.messages import GetAccountGroup
from promptforge.actors.marketplace.errors import NothingToAppeal, ReviewRemoved
from promptforge.actors.marketplace.listings.store import ListingStore, no_listing
from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.marketplace.purchases.store import PurchaseStore
from promptforge.actors.marketplace.reviews import notices
from promptforge.actors.marketplace.reviews.appeals import appeal_case, why_of
from promptforge.actors.marketplace.reviews.messages import (
    AppealRemoval,
    CheckRatings,
    DecideRemovalAppeal,
    DeleteReview,
    FindRemovedReview,
    FindReview,
    GetOwnReview,
    LeaveOutLinked,
    ListReviews,
    OwnReviewView,
    RemoveReview,
    ReviewView,
    WriteReview,
)
from promptforge.actors.marketplace.reviews.ratings import Ratings
from promptforge.actors.marketplace.reviews.store import Rating, Review, ReviewStore, no_review, review_id
from promptforge.actors.marketplace.rulings import domain as rulings
from promptforge.actors.users.messages import IsAccountClosed
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

log = structlog.get_logger(__name__)


class ReviewsActor(Actor):
    """`appeal_for`: how long the removal of a review can be appealed."""

    name = "reviews"

    asks = ("users", "billing")

    def __init__(
        self, reviews: ReviewStore, purchases: PurchaseStore, listings: ListingStore, *, appeal_for: timedelta
    ) -> None:
        self._appeal_for = appeal_for
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
        await context.enqueue(notices.reviewed(after, purchase.title), owner_id=after.seller_id)
        return after.view()

    @handles(DeleteReview, key="purchase_id", atomic=True)
    async def delete(self, message: DeleteReview, context: Context) -> None:
        review = await self._own(message.purchase_id, context)
        if review.withdrawn_at is not None:
            raise no_review()
        if review.removed_at is None:
            await self._ratings.delete(review, context)
        else:
            await self._ratings.put(review, replace(review, text="", withdrawn_at=context.now()), context)

    @handles(GetOwnReview, transactional=True)
    async def get_own(self, message: GetOwnReview, context: Context) -> OwnReviewView:
        return (await self._own(message.purchase_id, context)).own_view()

    async def _own(self, purchase_id: str, context: Context) -> Review:
        review = await self._reviews.find(review_id(purchase_id), session=context.session)
        if review is None or review.author_id != context.user_id:
            raise no_review()
        return review

    @handles(ListReviews)
    async def list_reviews(self, message: ListReviews, context: Context) -> Page[ReviewView]:
        listing = await self._listings.get(message.listing_id)
        own = context.principal is not None and context.principal.user_id == listing.seller_id
        if listing.state is not ListingState.PUBLISHED and not own:
            raise no_listing()
        cursor = Cursor.decode_optional(message.cursor)
        return await self._reviews.list_shown(listing.id, cursor=cursor, limit=message.limit)

    # Moderation

    @handles(FindReview, transactional=True)
    async def find(self, message: FindReview, context: Context) -> ReviewView | None:
        review = await self._reviews.find(message.review_id, session=context.session)
        return None if review is None or review.removed_at is not None else review.view()

    @handles(RemoveReview, key="review_id", atomic=True)
    async def remove(self, message: RemoveReview, context: Context) -> ReviewView:
        review = await self._reviews.get_shown(message.review_id, session=context.session)
        now, until = context.now(), context.now() + self._appeal_for
        removal = rulings.made(why_of(message), now, appeal_until=until)
        after = replace(review, counted=False, removed_at=now, removal=removal)
        await self._ratings.put(review, after, context)
        await context.enqueue(notices.removed(after, message, until), owner_id=after.author_id)
        facts = {"listing_id": review.listing_id, "reason_code": message.reason_code}
        await context.audit("review.removed", review.id, after=facts)
        return after.view()

    @handles(AppealRemoval, key="purchase_id", atomic=True)
    async def appeal(self, message: AppealRemoval, context: Context) -> OwnReviewView:
        """Of two at once the second conflicts, starts over and sees the first."""
        review = await self._own(message.purchase_id, context)
        if review.removed_at is None or review.withdrawn_at is not None:
            raise NothingToAppeal
        appealed = replace(review, removal=rulings.appealed(review.removal, context.now()))
        await self._ratings.put(review, appealed, context)
        listing = await self._listings.get(review.listing_id, session=context.session)
        case = appeal_case(listing, appealed, message.words)
        await context.enqueue(case, unique=f"review_appeal:{case.against}")
        return appealed.own_view()

    @handles(FindRemovedReview, transactional=True)
    async def find_removed(self, message: FindRemovedReview, context: Context) -> ReviewView | None:
        review = await self._appealed(message.review_id, context)
        return None if review is None else review.view()

    async def _appealed(self, identifier: str, context: Context) -> Review | None:
        review = await self._reviews.find(identifier, session=context.session)
        if review is None or review.removed_at is None or review.withdrawn_at is not None:
            return None
        if not rulings.waits(review.removal) or await context.ask(IsAccountClosed(user_id=review.author_id)):
            return None
        return review

    @handles(DecideRemovalAppeal, key="review_id", atomic=True)
    async def decide_appeal(self, message: DecideRemovalAppeal, context: Context) -> None:
        """The purchase is written too, so that a refund at the same moment comes before or after."""
        review = await self._appealed(message.review_id, context)
        if review is None or review.removal is None:
            raise NothingToAppeal
        removal = rulings.heard(review.removal, why_of(message), context.now(), granted=message.granted)
        after = replace(review, removal=removal)
        if message.granted:
            purchase = await self._purchases.touch(review.purchase_id, now=context.now(), session=context.session)
            counted = purchase.counts and purchase.refunded_at is None
            after = replace(after, removed_at=None, counted=counted)
        await self._ratings.put(review, after, context)
        for notice in notices.appeal_heard(after, message):
            await context.enqueue(notice, owner_id=notice.user_id)
        facts = {"listing_id": review.listing_id, "reason_code": message.reason_code}
        action = "review.restored" if message.granted else "review.removal_upheld"
        await context.audit(action, review.id, after=facts)

    # Whether it adds up

    @handles(LeaveOutLinked)
    async def leave_out(self, message: LeaveOutLinked, context: Context) -> int:
        """Each purchase with its review's stars in a transaction of its own; done again, there is nothing left."""
        group = await context.ask(GetAccountGroup(user_id=message.user_id))
        between = await self._purchases.list_between(group)
        for purchase_id in between:

            async def work(tx: Context, purchase_id: str = purchase_id) -> None:
                await self._purchases.mark_linked(purchase_id, session=tx.session)
                await self._ratings.purchase_is_gone(purchase_id, tx)

            await context.transaction(work)
        return len(between)

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
