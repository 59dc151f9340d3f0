"""Ratings: a review and the sum on its listing change in one commit, or neither does."""

from __future__ import annotations

from dataclasses import replace

from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.reviews.store import NONE, Rating, Review, ReviewStore, review_id
from promptforge.core.context import Context


class Ratings:
    """Everything that changes a review goes through here, in a transaction."""

    def __init__(self, reviews: ReviewStore, listings: ListingStore) -> None:
        self._reviews = reviews
        self._listings = listings

    async def put(self, before: Review | None, after: Review, tx: Context) -> Review:
        await self._add(after, NONE if before is None else before.rating, after.rating, tx)
        return await self._reviews.put(after, session=tx.session)

    async def delete(self, review: Review, tx: Context) -> None:
        await self._add(review, review.rating, NONE, tx)
        await self._reviews.delete(review, session=tx.session)

    async def purchase_is_gone(self, purchase_id: str, tx: Context) -> None:
        """Refunded, or between linked accounts: its review stays to be read, and counts no more."""
        review = await self._reviews.find(review_id(purchase_id), session=tx.session)
        if review is not None and review.counted:
            await self.put(review, replace(review, counted=False), tx)

    async def _add(self, review: Review, before: Rating, after: Rating, tx: Context) -> None:
        change = after.minus(before)
        if change != NONE:
            await self._listings.add_rating(review.listing_id, change.count, change.stars, tx)
