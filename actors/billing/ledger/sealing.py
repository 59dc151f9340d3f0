"""Journals are sealed in batches: each checkpoint holds a hash over its batch and over the checkpoint before.

A journal, a leg or a checkpoint that is altered or removed afterwards shows, also to somebody who has the database's
password and makes the sums fit. No sale waits for it: a job seals what is `SETTLED` old, because by then no transaction
is open that could still add an earlier journal.

The head is a document beside the chain, which says where it ends: a chain that is cut off at its end does not reach it.
Whoever cuts both, and all that was sealed since, leaves a ledger that was whole once; only a head that was kept outside
of the database (`promptforge ledger head`) can tell it from this one.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import bson
import structlog

from promptforge.actors.billing.ledger.store import JOURNALS, LEGS
from promptforge.actors.billing.messages import LedgerSeal
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session, run_transaction
from promptforge.core.personal import nobody

CHECKPOINTS = "ledger_checkpoints"
HEADS = "ledger_head"
"""One document."""
INDEXES: dict[str, tuple[Index, ...]] = {CHECKPOINTS: (), HEADS: ()}
HELD = {
    CHECKPOINTS: nobody("Seals of the ledger"),
    HEADS: nobody("The last seal of the ledger"),
}
SETTLED = timedelta(minutes=5)
BATCH = 500
BEGINNING = "0" * 64
_HEAD = "head"
_NOTHING: Document = {"_id": 0, "hash": BEGINNING, "journals": 0}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BrokenSeal:
    """A checkpoint that does not fit what it sealed."""

    number: int
    detail: str


class LedgerSeals:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._journals = mongo.collection(JOURNALS)
        self._legs = mongo.collection(LEGS)
        self._checkpoints = mongo.collection(CHECKPOINTS)
        self._heads = mongo.collection(HEADS)

    async def find_head(self) -> LedgerSeal | None:
        row = await self._heads.find_one({"_id": _HEAD})
        return _seal_of(row["checkpoint"]) if row is not None else None

    async def seal(self, now: datetime) -> int:
        """Seal what has settled; answers how many journals. Two processes at once seal each journal once.

        Nothing is sealed from a head that is not the end of the chain: `broken` tells what is the matter with it.
        """
        sealed = 0
        while True:
            last = await self._last()
            rows = await self._page({"$and": [_after(last), {"created_at": {"$lte": now - SETTLED}}]}, BATCH)
            if not rows:
                return sealed
            checkpoint = {
                "_id": last["_id"] + 1,
                "through_at": rows[-1]["created_at"],
                "through_id": rows[-1]["_id"],
                "count": len(rows),
                "journals": last["journals"] + len(rows),
                "hash": await self._hash(last["hash"], rows),
                "sealed_at": now,
            }
            if await self._append(checkpoint):
                sealed += len(rows)
            elif await self._last() == last:  # and no other process has sealed these
                log.error("ledger.head_is_not_the_end", number=last["_id"])
                return sealed

    async def _last(self) -> Document:
        """The checkpoint that the head names."""
        row = await self._heads.find_one({"_id": _HEAD})
        found: Document = row["checkpoint"] if row is not None else _NOTHING
        return found

    async def _append(self, checkpoint: Document) -> bool:
        """Whether it is the next one."""

        async def work(session: Session) -> None:
            await self._checkpoints.insert_one(checkpoint, session=session)
            moved: Document = {"$set": {"checkpoint": checkpoint}}
            await self._heads.update_one({"_id": _HEAD}, moved, upsert=True, session=session)

        try:
            await run_transaction(self._mongo, work)
        except DuplicateKey:
            return False
        return True

    async def adopt(self) -> None:
        """Give a chain from before there was a head the head that it has now, and each checkpoint its sum."""
        if await self._heads.find_one({"_id": _HEAD}) is not None:
            return
        last, journals = None, 0
        async for checkpoint in self._checkpoints.find({}).sort([("_id", 1)]):
            journals += checkpoint["count"]
            last = {**checkpoint, "journals": journals}
            await self._checkpoints.update_one({"_id": checkpoint["_id"]}, {"$set": {"journals": journals}})
        if last is not None:
            await self._heads.update_one({"_id": _HEAD}, {"$setOnInsert": {"checkpoint": last}}, upsert=True)

    async def broken(self, head: LedgerSeal | None, kept: Sequence[LedgerSeal] = ()) -> AsyncIterator[BrokenSeal]:
        """Hash everything again, checkpoint by checkpoint, and tell which do not fit: what they sealed, or a head.

        `head` was read before; `kept` are heads from outside.
        """
        wanted: dict[int, set[tuple[str, int]]] = {}
        for one in (*kept, *([head] if head is not None else ())):
            wanted.setdefault(one.number, set()).add((one.hash, one.journals))
        before = _NOTHING
        while True:
            checkpoint = await self._checkpoints.find_one({"_id": {"$gt": before["_id"]}}, sort=[("_id", 1)])
            if checkpoint is None:
                break
            if checkpoint["_id"] != before["_id"] + 1:
                yield BrokenSeal(before["_id"] + 1, "the checkpoint is gone")
            else:
                fault = await self._fault(before, checkpoint)
                if fault is not None:
                    yield BrokenSeal(checkpoint["_id"], fault)
            if wanted.pop(checkpoint["_id"], set()) - {(checkpoint["hash"], checkpoint["journals"])}:
                yield BrokenSeal(checkpoint["_id"], "it is another checkpoint than the head that was kept")
            before = checkpoint
        for number in sorted(wanted):
            yield BrokenSeal(number, f"the seals end with checkpoint {before['_id']}, and there was this one")
        if (await self._last())["_id"] < before["_id"]:
            yield BrokenSeal(before["_id"], "the head of the seals is not their end: it was removed or set back")

    async def _fault(self, before: Document, checkpoint: Document) -> str | None:
        rows = await self._page({"$and": [_after(before), _until(checkpoint)]}, BATCH + 1)
        if len(rows) != checkpoint["count"]:
            return f"it sealed {checkpoint['count']} journals, and there are {len(rows)}"
        if checkpoint["journals"] != before["journals"] + len(rows):
            return f"it counts {checkpoint['journals']} journals in all, and that is another sum"
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


def _seal_of(checkpoint: Document) -> LedgerSeal:
    return LedgerSeal(checkpoint["_id"], checkpoint["hash"], checkpoint["journals"], checkpoint["sealed_at"])


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
