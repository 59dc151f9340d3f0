"""The report of the last verification, on `ledger_reports`: one document."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import TypeAdapter

from promptforge.actors.billing.messages import LedgerReport
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import nobody

REPORTS = "ledger_reports"
INDEXES: dict[str, tuple[Index, ...]] = {REPORTS: ()}
HELD = {
    REPORTS: nobody("The last verification of the ledger"),
}
_LAST = "last"
_reports = TypeAdapter(LedgerReport)


class ReportStore:
    def __init__(self, mongo: Mongo) -> None:
        self._reports = mongo.collection(REPORTS)

    async def get_last(self) -> LedgerReport:
        """Raises `NotFound` before there was one."""
        row = await self._reports.find_one({"_id": _LAST})
        if row is None:
            raise NotFound("No verification of the ledger has ended yet")
        return _reports.validate_python(row["report"])

    async def put(self, report: LedgerReport, *, session: Session) -> None:
        told: Document = {"$set": {"report": asdict(report)}}
        await self._reports.update_one({"_id": _LAST}, told, upsert=True, session=session)
