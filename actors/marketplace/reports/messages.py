"""Reports of listings and reviews."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from promptforge.actors.marketplace.messages import ListingId, Words
from promptforge.actors.marketplace.reviews.messages import ReviewId
from promptforge.core.jobs import job
from promptforge.core.made import Made
from promptforge.core.messages import Command, Query, internal, requires


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
    """Tell moderators what is wrong with a published listing; once, until the listing is changed.

    The same again answers your first report (200).
    """

    listing_id: ListingId
    reason: ReportReason
    words: Words


@requires(scope="reports:write")
class ReportReview(Command[Made[ReportView]]):
    """Tell moderators what is wrong with a review or with the reply to it; once, until one of them is changed.

    The same again answers your first report (200).
    """

    review_id: ReviewId
    reason: ReportReason
    words: Words


@internal
@job(timeout_seconds=60)
class TellReporters(Command[int]):
    """Tell all who reported a listing, or a review of it, between two moments what became of that: page by page.

    `key` is that of each person's notice but for their id: who has heard it already does not hear it twice. Answers how
    many were told.
    """

    listing_id: str
    review_id: str | None
    since: datetime
    until: datetime
    title: str
    body: str
    subject: dict[str, str]
    key: str
    after: str = ""


@internal
class HasReported(Query[bool]):
    """Whether one of these people has reported a listing, or a review of it, since then."""

    user_ids: tuple[str, ...]
    listing_id: str
    review_id: str | None
    since: datetime
