"""Reports of listings and reviews."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from promptforge.actors.marketplace.messages import ListingId, Words
from promptforge.actors.marketplace.reviews.messages import ReviewId
from promptforge.core.made import Made
from promptforge.core.messages import Command, requires


class ReportReason(StrEnum):
    COPIED = "copied"
    MISLEADING = "misleading"
    HARMFUL = "harmful"
    ILLEGAL = "illegal"
    PERSONAL_DATA = "personal_data"
    SPAM = "spam"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ReportView:
    """What you have reported; a moderator looks at it."""

    id: str
    listing_id: str
    review_id: str | None
    reason: ReportReason
    words: str
    created_at: datetime


@requires(scope="reports:write")
class ReportListing(Command[Made[ReportView]]):
    """Tell moderators what is wrong with a published listing; once. The same again answers your first report (200)."""

    listing_id: ListingId
    reason: ReportReason
    words: Words


@requires(scope="reports:write")
class ReportReview(Command[Made[ReportView]]):
    """Tell moderators what is wrong with a review; once. The same again answers your first report (200)."""

    review_id: ReviewId
    reason: ReportReason
    words: Words
