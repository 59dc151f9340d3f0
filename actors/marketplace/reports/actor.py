"""Reports: each of each person once, with a case for the moderators in the same transaction."""

from __future__ import annotations

from promptforge.actors.marketplace.listings.store import Listing, ListingStore, no_listing
from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReview, ReportView
from promptforge.actors.marketplace.reports.store import Report, ReportStore
from promptforge.actors.marketplace.reviews.store import ReviewStore
from promptforge.actors.moderation.messages import CaseKind, OpenCase
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.made import Made
from promptforge.core.runtime import Actor, handles


class ReportsActor(Actor):
    name = "reports"

    def __init__(self, reports: ReportStore, listings: ListingStore, reviews: ReviewStore) -> None:
        self._reports = reports
        self._listings = listings
        self._reviews = reviews

    @handles(ReportListing, key="listing_id", atomic=True)
    async def report_listing(self, message: ReportListing, context: Context) -> Made[ReportView]:
        listing = await self._on_the_market(message.listing_id, context)
        return await self._keep(listing, message, None, context)

    @handles(ReportReview, key="review_id", atomic=True)
    async def report_review(self, message: ReportReview, context: Context) -> Made[ReportView]:
        review = await self._reviews.get_shown(message.review_id, session=context.session)
        listing = await self._on_the_market(review.listing_id, context)
        return await self._keep(listing, message, review.id, context)

    async def _on_the_market(self, listing_id: str, context: Context) -> Listing:
        """What nobody sees cannot be reported. A seller sees their own, whose reviews may be worth a report."""
        listing = await self._listings.get(listing_id, session=context.session)
        if listing.state is not ListingState.PUBLISHED and listing.seller_id != context.user_id:
            raise no_listing()
        return listing

    async def _keep(
        self, listing: Listing, message: ReportListing | ReportReview, review_id: str | None, context: Context
    ) -> Made[ReportView]:
        wanted = Report(
            id=new_id("rpt"),
            reporter_id=context.user_id,
            listing_id=listing.id,
            review_id=review_id,
            reason=message.reason,
            words=message.words,
            created_at=context.now(),
        )
        kept = await self._reports.add_once(wanted, session=context.session)
        if kept.id == wanted.id:
            await context.enqueue(_case_of(listing, kept), unique=f"moderation.report:{kept.id}")
        return Made(kept.view(), new=kept.id == wanted.id)


def _case_of(listing: Listing, report: Report) -> OpenCase:
    return OpenCase(
        listing_id=listing.id,
        revision=listing.revision,
        seller_id=listing.seller_id,
        title=listing.title,
        kind=CaseKind.REPORT if report.review_id is None else CaseKind.REVIEW_REPORT,
        reason=f"({report.reason}) {report.words}",
        brought_by=report.reporter_id,
        subject=report.review_id,
    )
