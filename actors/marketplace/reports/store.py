"""Every query on the collection `marketplace_reports`: one of each person about each thing, as it was then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.reports.messages import ReportReason, ReportView
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import REDACTED, Held, Subject, marks

REPORTS = "marketplace_reports"
INDEXES: dict[str, tuple[Index, ...]] = {
    REPORTS: (
        Index((("reporter_id", 1), ("target", 1)), unique=True),
        Index((("listing_id", 1), ("review_id", 1), ("_id", 1))),
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
    """Somebody's report of a listing, or of a review of it.

    `edition` tells what was reported from what became of it later.
    """

    id: str
    reporter_id: str
    listing_id: str
    review_id: str | None
    reason: ReportReason
    words: str
    created_at: datetime
    edition: str = ""

    def view(self) -> ReportView:
        return ReportView(self.id, self.listing_id, self.review_id, self.reason, self.words, self.created_at)


class ReportStore:
    def __init__(self, mongo: Mongo) -> None:
        self._reports = mongo.collection(REPORTS)

    async def add_once(self, report: Report, *, session: Session | None) -> Report:
        """Answers an older report of the same person about the same edition, where there is one."""
        target = f"{report.review_id or report.listing_id}@{report.edition}"
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

    async def has_reported(
        self,
        user_ids: Sequence[str],
        listing_id: str,
        review_id: str | None,
        *,
        since: datetime,
        session: Session | None,
    ) -> bool:
        wanted: Document = {"reporter_id": {"$in": list(user_ids)}, "listing_id": listing_id, "review_id": review_id}
        wanted["created_at"] = {"$gt": since}
        return await self._reports.find_one(wanted, {"_id": 1}, session=session) is not None

    async def list_reporters(
        self, listing_id: str, review_id: str | None, *, since: datetime, until: datetime, after: str, limit: int
    ) -> list[tuple[str, str]]:
        """Report and reporter of those between two moments, in the order of their ids, behind `after`."""
        wanted: Document = {"listing_id": listing_id, "review_id": review_id, "_id": {"$gt": after}}
        wanted["created_at"] = {"$gt": since, "$lte": until}
        rows = self._reports.find(wanted, {"reporter_id": 1}).sort([("_id", 1)]).limit(limit)
        return [(row["_id"], row["reporter_id"]) for row in await rows.to_list(limit)]


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
