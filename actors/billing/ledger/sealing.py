"""Journals are sealed in batches: each checkpoint holds a hash over its batch and over the checkpoint before.

A journal, a leg or a checkpoint that is altered or removed afterwards shows, also to somebody who has the database's
password and makes the sums fit. No sale waits for it: a job seals what is `SETTLED` old, because by then no transaction
is open that could still add an earlier journal.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import bson

from promptforge.actors.billing.ledger.store import JOURNALS, LEGS
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo

CHECKPOINTS = "ledger_checkpoints"
INDEXES: dict[str, tuple[Index, ...]] = {CHECKPOINTS: ()}
SETTLED = timedelta(minutes=5)
BATCH = 500
BEGINNING = "0" * 64
_NOTHING: Document = {"_id": 0, "hash": BEGINNING}


@dataclass(frozen=True, slots=True)
class BrokenSeal:
    """A checkpoint that does not fit what it sealed."""

    number: int
    detail: str


class LedgerSeals:
    def __init__(self, mongo: Mongo) -> None:
        self._journals = mongo.collection(JOURNALS)
        self._legs = mongo.collection(LEGS)
        self._checkpoints = mongo.collection(CHECKPOINTS)

    async def seal(self, now: datetime) -> int:
        """Seal what has settled; answers how many journals. Two processes at once seal each journal once."""
        sealed = 0
        while True:
            last = await self._checkpoints.find_one({}, sort=[("_id", -1)]) or _NOTHING
            rows = await self._page({"$and": [_after(last), {"created_at": {"$lte": now - SETTLED}}]}, BATCH)
            if not rows:
                return sealed
            checkpoint = {
                "_id": last["_id"] + 1,
                "through_at": rows[-1]["created_at"],
                "through_id": rows[-1]["_id"],
                "count": len(rows),
                "hash": await self._hash(last["hash"], rows),
                "sealed_at": now,
            }
            try:
                await self._checkpoints.insert_one(checkpoint)
            except DuplicateKey:  # another process has sealed these
                continue
            sealed += len(rows)

    async def broken(self) -> AsyncIterator[BrokenSeal]:
        """Hash everything again, checkpoint by checkpoint, and tell which do not fit."""
        before = _NOTHING
        while True:
            checkpoint = await self._checkpoints.find_one({"_id": {"$gt": before["_id"]}}, sort=[("_id", 1)])
            if checkpoint is None:
                return
            if checkpoint["_id"] != before["_id"] + 1:
                yield BrokenSeal(before["_id"] + 1, "the checkpoint is gone")
            else:
                fault = await self._fault(before, checkpoint)
                if fault is not None:
                    yield BrokenSeal(checkpoint["_id"], fault)
            before = checkpoint

    async def _fault(self, before: Document, checkpoint: Document) -> str | None:
        rows = await self._page({"$and": [_after(before), _until(checkpoint)]}, BATCH + 1)
        if len(rows) != checkpoint["count"]:
            return f"it sealed {checkpoint['count']} journals, and there are {len(rows)}"
        if await self._hash(before["hash"], rows) != checkpoint["hash"]:
            return f"a journal up to {checkpoint['through_id']} is not what was sealed"
        return None

    async def _page(self, wanted: Document, limit: int) -> list[Document]:
        return await self._journals.find(wanted).sort([("created_at", 1), ("_id", 1)]).limit(limit).to_list(limit)

    async def _hash(self, before: str, journals: Sequence[Document]) -> str:
        """Over the journals in their order, and then over their legs in theirs."""
        digest = hashlib.sha256(before.encode())
        for journal in journals:
            digest.update(bson.encode(journal))
        ids = [journal["_id"] for journal in journals]
        async for leg in self._legs.find({"journal_id": {"$in": ids}}).sort([("journal_id", 1), ("_id", 1)]):
            digest.update(bson.encode(leg))
        return digest.hexdigest()


def _after(checkpoint: Document) -> Document:
    if checkpoint["_id"] == 0:
        return {}
    at, identifier = checkpoint["through_at"], checkpoint["through_id"]
    later = [{"created_at": {"$gt": at}}, {"created_at": at, "_id": {"$gt": identifier}}]
    return {"created_at": {"$gte": at}, "$or": later}


def _until(checkpoint: Document) -> Document:
    at, identifier = checkpoint["through_at"], checkpoint["through_id"]
    earlier = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lte": identifier}}]
    return {"created_at": {"$lte": at}, "$or": earlier}
