"""Reports: each of each person once, with a case for the moderators in the same transaction.

What was changed since is another thing, and may be reported again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from promptforge.actors.marketplace.listings.store import Listing, ListingStore, no_listing
from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.marketplace.reports.messages import (
    HasReported,
    ReportListing,
    ReportReview,
    ReportView,
    TellReporters,
)
from promptforge.actors.marketplace.reports.store import Report, ReportStore
from promptforge.actors.marketplace.reviews.store import Review, ReviewStore
from promptforge.actors.moderation.messages import CaseKind, OpenCase
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.made import Made
from promptforge.core.runtime import Actor, handles

TOLD_AT_ONCE = 200


class ReportsActor(Actor):
    name = "reports"

    def __init__(self, reports: ReportStore, listings: ListingStore, reviews: ReviewStore) -> None:
        self._reports = reports
        self._listings = listings
        self._reviews = reviews

    @handles(ReportListing, key="listing_id", atomic=True)
    async def report_listing(self, message: ReportListing, context: Context) -> Made[ReportView]:
        listing = await self._listings.get(message.listing_id, session=context.session)
        if listing.state is not ListingState.PUBLISHED:
            raise no_listing()
        return await self._keep(listing, message, _Reported(None, str(listing.revision)), context)

    @handles(ReportReview, key="review_id", atomic=True)
    async def report_review(self, message: ReportReview, context: Context) -> Made[ReportView]:
        review = await self._reviews.get_shown(message.review_id, session=context.session)
        listing = await self._shown(review.listing_id, context)
        reported = _Reported(review.id, _edition_of(review), _shown_of(review))
        return await self._keep(listing, message, reported, context)

    async def _shown(self, listing_id: str, context: Context) -> Listing:
        """What nobody sees cannot be reported. A seller sees the reviews of their own listing, wherever that is."""
        listing = await self._listings.get(listing_id, session=context.session)
        if listing.state is not ListingState.PUBLISHED and listing.seller_id != context.user_id:
            raise no_listing()
        return listing

    async def _keep(
        self, listing: Listing, message: ReportListing | ReportReview, reported: _Reported, context: Context
    ) -> Made[ReportView]:
        wanted = Report(
            id=new_id("rpt"),
            reporter_id=context.user_id,
            listing_id=listing.id,
            review_id=reported.review_id,
            reason=message.reason,
            words=message.words,
            created_at=context.now(),
            edition=reported.edition,
        )
        kept = await self._reports.add_once(wanted, session=context.session)
        if kept.id == wanted.id:
            await context.enqueue(_case_of(listing, kept, reported.shown), unique=f"moderation.report:{kept.id}")
        return Made(kept.view(), new=kept.id == wanted.id)

    @handles(TellReporters, key="listing_id", atomic=True)
    async def tell(self, message: TellReporters, context: Context) -> int:
        page = await self._reports.list_reporters(
            message.listing_id,
            message.review_id,
            since=message.since,
            until=message.until,
            after=message.after,
            limit=TOLD_AT_ONCE,
        )
        await context.enqueue_many([_notice(message, reporter_id) for _, reporter_id in page])
        if len(page) == TOLD_AT_ONCE:
            await context.enqueue(replace(message, after=page[-1][0]))
        return len(page)

    @handles(HasReported, transactional=True)
    async def has_reported(self, message: HasReported, context: Context) -> bool:
        return await self._reports.has_reported(
            message.user_ids, message.listing_id, message.review_id, since=message.since, session=context.session
        )


@dataclass(frozen=True, slots=True)
class _Reported:
    """`shown`: the words as they were, of a review."""

    review_id: str | None
    edition: str
    shown: str | None = None


def _edition_of(review: Review) -> str:
    written = (review.created_at, review.edited_at, review.replied_at)
    return max(one for one in written if one is not None).isoformat()


def _shown_of(review: Review) -> str:
    told = f"{review.stars} of 5 stars: {review.text}"
    return f"{told}\n\nThe seller's reply: {review.reply}" if review.shows_reply else told


def _notice(message: TellReporters, reporter_id: str) -> NotifyUser:
    return NotifyUser(
        user_id=reporter_id,
        kind="report.decided",
        title=message.title,
        body=message.body,
        subject=message.subject,
        dedupe_key=f"{message.key}:{reporter_id}",
    )


def _case_of(listing: Listing, report: Report, shown: str | None) -> OpenCase:
    return OpenCase(
        listing_id=listing.id,
        revision=listing.revision,
        seller_id=listing.seller_id,
        title=listing.title,
        kind=CaseKind.REPORT if report.review_id is None else CaseKind.REVIEW_REPORT,
        reason=f"({report.reason}) {report.words}",
        brought_by=report.reporter_id,
        subject=report.review_id,
        reported=shown,
    )
