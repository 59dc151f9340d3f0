"""What verification reads of adjustments: what two operators agreed on, beside the journals that carried it out."""

from __future__ import annotations

from promptforge.actors.billing.ledger.adjustments.domain import GRANTED_BY, WRITTEN_OFF_BY
from promptforge.actors.billing.ledger.adjustments.store import ADJUSTMENT_PREFIX, ADJUSTMENTS
from promptforge.actors.billing.ledger.domain import JournalKind
from promptforge.actors.billing.ledger.messages import AdjustmentKind, AdjustmentState
from promptforge.actors.billing.ledger.store import JOURNALS, LEGS
from promptforge.actors.billing.ledger.streams import SortedStream
from promptforge.core.mongo import Document, Mongo, Session, run_transaction

JOURNAL_KINDS = {AdjustmentKind.GRANT: JournalKind.GRANT, AdjustmentKind.WRITE_OFF: JournalKind.WRITE_OFF}
_PREFIXES = {AdjustmentKind.GRANT: GRANTED_BY, AdjustmentKind.WRITE_OFF: WRITTEN_OFF_BY}
_BEGINNINGS = {AdjustmentKind.GRANT: f"{GRANTED_BY}{ADJUSTMENT_PREFIX}_", AdjustmentKind.WRITE_OFF: ""}
"""How the keys of journals of adjustments begin; small grants are no adjustments, and every write-off is one."""
_WITH_LEGS: Document = {
    "$lookup": {"from": LEGS, "localField": "_id", "foreignField": "journal_id", "as": "legs"},
}


class AdjustmentAudit:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._adjustments = mongo.collection(ADJUSTMENTS)
        self._journals = mongo.collection(JOURNALS)

    def approved(self, kind: AdjustmentKind) -> SortedStream:
        wanted = {"kind": kind.value, "state": AdjustmentState.APPROVED.value}
        return SortedStream(self._adjustments.find(wanted).sort([("_id", 1)]), lambda row: row["_id"])

    def journals(self, kind: AdjustmentKind) -> SortedStream:
        """With their legs, keyed by the adjustment's id; the prefix of the journal's key does not change the order."""
        begin = _BEGINNINGS[kind]
        keys = {"$gte": begin, "$lt": begin[:-1] + chr(ord(begin[-1]) + 1)} if begin else {"$gt": ""}
        wanted = {"kind": JOURNAL_KINDS[kind].value, "_id": keys}
        rows = self._journals.aggregate([{"$match": wanted}, {"$sort": {"kind": 1, "_id": 1}}, _WITH_LEGS])
        return SortedStream(rows, lambda row: row["_id"].removeprefix(_PREFIXES[kind]))

    async def adjustment(self, kind: AdjustmentKind, adjustment_id: str) -> tuple[Document | None, Document | None]:
        """The adjustment, if it was approved, and its journal with its legs."""

        async def read(session: Session) -> tuple[Document | None, Document | None]:
            approved = {"_id": adjustment_id, "kind": kind.value, "state": AdjustmentState.APPROVED.value}
            key = {"_id": f"{_PREFIXES[kind]}{adjustment_id}", "kind": JOURNAL_KINDS[kind].value}
            found = await self._journals.aggregate([{"$match": key}, _WITH_LEGS], session=session).to_list(1)
            adjustment = await self._adjustments.find_one(approved, session=session)
            return adjustment, found[0] if found else None

        return await run_transaction(self._mongo, read)
