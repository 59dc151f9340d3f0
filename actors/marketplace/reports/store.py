"""Every query on the collection `marketplace_reports`: one of each person about each thing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.reports.messages import ReportReason, ReportView
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import REDACTED, Held, Subject, marks

REPORTS = "marketplace_reports"
INDEXES: dict[str, tuple[Index, ...]] = {
    REPORTS: (
        Index((("reporter_id", 1), ("target", 1)), unique=True),
        Index((("listing_id", 1), ("created_at", -1))),
    )
}
HELD = {
    REPORTS: Held(
        "What you reported to moderators",
        (Subject("reporter_id", marks(REDACTED, "words")),),
        plain=frozenset({"target", "reason"}),
    ),
}


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody's report of a listing, or of a review of it."""

    id: str
    reporter_id: str
    listing_id: str
    review_id: str | None
    reason: ReportReason
    words: str
    created_at: datetime

    def view(self) -> ReportView:
        return ReportView(self.id, self.listing_id, self.review_id, self.reason, self.words, self.created_at)


class ReportStore:
    def __init__(self, mongo: Mongo) -> None:
        self._reports = mongo.collection(REPORTS)

    async def add_once(self, report: Report, *, session: Session | None) -> Report:
        """Answers an older report of the same person about the same, where there is one."""
        target = report.review_id or report.listing_id
        row = await self._reports.find_one_and_upsert(
            {"reporter_id": report.reporter_id, "target": target},
            {
                "$setOnInsert": {
                    "_id": report.id,
                    "listing_id": report.listing_id,
                    "review_id": report.review_id,
                    "reason": report.reason.value,
                    "words": report.words,
                    "created_at": report.created_at,
                }
            },
            session=session,
        )
        return _report_from(row)


def _report_from(row: Document) -> Report:
    return Report(
        id=row["_id"],
        reporter_id=row["reporter_id"],
        listing_id=row["listing_id"],
        review_id=row["review_id"],
        reason=ReportReason(row["reason"]),
        words=row["words"],
        created_at=row["created_at"],
    )
