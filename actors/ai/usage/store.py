"""Every query on the sums of runs: `usage_counters`, which runs that end increase, and `usage_rollups`, which are read.

A run is added in the transaction that writes its usage record, to a counter of the hour: by user, and by prompt and
version. Counters of hours that have passed are folded, in a transaction, into roll-ups: one has the hours of a day, or
the days of a month, of a prompt's version (of a user: the days). What is late makes a counter again, and is folded
later. So a run is in one place at any time, and who adds up both places, at one moment, has each run once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain

from promptforge.actors.ai.messages import UsageRecord
from promptforge.actors.ai.usage.cells import COUNTED, Cell, latency_of, merged, new_cell
from promptforge.actors.ai.usage.domain import Rollup, Share, chunk_of, shares_of, slot_start, start_of
from promptforge.actors.ai.usage.messages import Bucket
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.mongo import Document, Index, Mongo, Session, UpdateOne, read_snapshot
from promptforge.core.personal import nobody

COUNTERS = "usage_counters"
ROLLUPS = "usage_rollups"
INDEXES: dict[str, tuple[Index, ...]] = {COUNTERS: (Index((("start", 1),)),), ROLLUPS: ()}
HELD = {
    COUNTERS: nobody("Sums of runs by hour"),
    ROLLUPS: nobody("Sums of runs by day and month"),
}

SHARDS = 16
MOST_SUMS = 10_000
"""What one question may add up: 2,000 hours of five versions."""
MOST_ROLLUPS = 2000
_FORM: Document = {"slots": {"$exists": True}}
"""A process of an earlier version that still runs may write roll-ups of another form."""
_MARKS = {Bucket.HOUR: "h", Bucket.DAY: "d"}
_FORMATS = {Bucket.HOUR: "%Y-%m-%d", Bucket.DAY: "%Y-%m"}
_HOUR_FORMAT = "%Y-%m-%dT%H"
_LAST = timedelta(microseconds=1)

Chunk = tuple[str, Bucket, datetime, int | None]
"""A roll-up: whose it is, hours or days, where it begins, and the version."""


class Shards:
    """Which of several counters a run is added to.

    Two transactions that write one document conflict, and one of them has to run again. So each takes the number that
    fewest others of this process are writing to, the lowest one first: a prompt that is seldom run has one counter
    per hour, and a hot one as many as there are runs that end at the same moment. Other processes' numbers are not
    known; with them there are conflicts, which are tried again.
    """

    def __init__(self) -> None:
        self._writing: dict[str, list[int]] = {}

    def take(self, owner: str, tx: Context) -> int:
        """Until this attempt at the transaction is over."""
        writing = self._writing.setdefault(owner, [0] * SHARDS)
        number = writing.index(min(writing))
        writing[number] += 1
        tx.after_attempt(lambda: self._leave(owner, number))
        return number

    def _leave(self, owner: str, number: int) -> None:
        writing = self._writing[owner]
        writing[number] -= 1
        if not any(writing):
            del self._writing[owner]


class RollupStore:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._counters = mongo.collection(COUNTERS)
        self._rollups = mongo.collection(ROLLUPS)
        self._shards = Shards()

    # Adding

    async def add(self, record: UsageRecord, tx: Context) -> None:
        """Add a run that ended to the sums that it belongs to, in the context's transaction."""
        for share in shares_of(record):
            shard = self._shards.take(share.owner, tx)
            key, update = _increase(share, shard)
            await self._counters.update_one({"_id": key}, update, upsert=True, session=tx.session)

    async def add_many(self, records: Iterable[UsageRecord], *, session: Session) -> None:
        """The same for many, in one transaction that conflicts with others who add to the same hours."""
        sums: dict[str, tuple[Share, list[Cell]]] = {}
        for share in chain.from_iterable(shares_of(record) for record in records):
            sums.setdefault(counter_key(share, 0), (share, []))[1].append(share.rollup.cell)
        whole = [
            Share(share.owner, share.by_hour, share.rollup._replace(cell=merged(cells)))
            for share, cells in sums.values()
        ]
        updates = (_increase(share, 0) for share in whole)
        if writes := [UpdateOne({"_id": key}, update, upsert=True) for key, update in updates]:
            await self._counters.bulk_write(writes, ordered=False, session=session)

    # Reading

    async def list_between(
        self, owner: str, bucket: Bucket, start: datetime, end: datetime, *, version: int | None = None
    ) -> list[Rollup]:
        """The hours or days of a prompt or a user from `start` until before `end`, in parts.

        They are whole ones: neither time lies within one. Raises `Invalid` for too many.
        """
        counted = counters_between(owner, start, end, version=version)
        folded = rollups_between(owner, bucket, start, end, version=version)

        async def read(session: Session) -> tuple[list[Document], list[Document]]:
            counters = self._counters.find(counted, session=session).limit(MOST_SUMS + 1)
            rollups = self._rollups.find(folded, session=session).limit(MOST_ROLLUPS + 1)
            return await counters.to_list(MOST_SUMS + 1), await rollups.to_list(MOST_ROLLUPS + 1)

        counters, rollups = await read_snapshot(self._mongo, read)
        hours = (_counter(row) for row in counters)
        sums = [hour._replace(start=start_of(hour.start, bucket)) for hour in hours]
        for row in rollups:
            chunk = row["start"].replace(tzinfo=UTC)  # the driver's UTC is another object, and slow to compare
            for slot, cell in zip(row["slots"], row["cells"], strict=True):
                at = slot_start(chunk, slot, bucket)
                if start <= at < end:  # the first and the last roll-up have more than was asked for
                    sums.append(Rollup(at, row["version"], cell))
        if len(rollups) > MOST_ROLLUPS or len(sums) > MOST_SUMS:
            raise Invalid("That is more than can be added up at once: ask for a shorter time or for longer buckets")
        return sums

    # Folding

    async def list_counters(self, before: datetime, limit: int) -> list[str]:
        """Ids of counters of hours that began before this, the oldest first."""
        rows = self._counters.find({"start": {"$lt": before}}, {"_id": 1}).sort([("start", 1)]).limit(limit)
        return [row["_id"] for row in await rows.to_list(limit)]

    async def fold(self, ids: Sequence[str], *, session: Session | None) -> int:
        """Move those of the counters that are still there into roll-ups; only in a transaction. Answers how many.

        Who increases or folds one of them at the same moment conflicts with its removal, and tries again.
        """
        counters = await self._counters.find({"_id": {"$in": ids}}, session=session).to_list(len(ids))
        if not counters:
            return 0
        chunks = _into_chunks(counters)
        await self._add_kept(chunks, session)
        await self._rollups.bulk_write([_replacement(*item) for item in chunks.items()], ordered=False, session=session)
        await self._counters.delete_many({"_id": {"$in": [row["_id"] for row in counters]}}, session=session)
        return len(counters)

    async def _add_kept(self, chunks: dict[Chunk, dict[int, list[Cell]]], session: Session | None) -> None:
        """What is in the roll-ups already."""
        by_id = {_chunk_key(*chunk): slots for chunk, slots in chunks.items()}
        for row in await self._rollups.find({"_id": {"$in": list(by_id)}}, session=session).to_list(len(by_id)):
            for slot, cell in zip(row["slots"], row["cells"], strict=True):
                by_id[row["_id"]].setdefault(slot, []).append(cell)

    async def forget_old_forms(self) -> None:
        """Roll-ups from before there were counters; the runs in them have to be added again."""
        await self._rollups.delete_many({"slots": {"$exists": False}})


def counters_between(owner: str, start: datetime, end: datetime, *, version: int | None = None) -> Document:
    """The filter: one range of the index on `_id`."""
    wanted: Document = {"_id": {"$gte": _hour_key(owner, start), "$lt": _hour_key(owner, end)}}
    return wanted if version is None else {**wanted, "version": version}


def rollups_between(
    owner: str, bucket: Bucket, start: datetime, end: datetime, *, version: int | None = None
) -> Document:
    """The filter: one range of the index on `_id`, from the chunk that has `start` to the one that has what is last."""
    first, last = (f"{owner}:{_MARKS[bucket]}:{at.strftime(_FORMATS[bucket])}" for at in (start, end - _LAST))
    wanted: Document = {"_id": {"$gte": f"{first}:", "$lt": f"{last};"}, **_FORM}  # ";" comes after ":"
    return wanted if version is None else {**wanted, "version": version}


def _into_chunks(counters: Iterable[Document]) -> dict[Chunk, dict[int, list[Cell]]]:
    """By roll-up, what each of its slots gets."""
    chunks: dict[Chunk, dict[int, list[Cell]]] = {}
    for row in counters:
        start, version, cell = _counter(row)
        for bucket in (Bucket.HOUR, Bucket.DAY) if row["by_hour"] else (Bucket.DAY,):
            chunk, slot = chunk_of(start, bucket)
            chunks.setdefault((row["owner"], bucket, chunk, version), {}).setdefault(slot, []).append(cell)
    return chunks


def _replacement(chunk: Chunk, slots: dict[int, list[Cell]]) -> UpdateOne:
    _, _, start, version = chunk
    numbers = sorted(slots)
    cells = [merged(slots[number]) for number in numbers]
    return UpdateOne(
        {"_id": _chunk_key(*chunk)},
        {"$set": {"start": start, "version": version, "slots": numbers, "cells": cells}},
        upsert=True,
    )


def _increase(share: Share, shard: int) -> tuple[str, Document]:
    """The counter's id, and its update."""
    start, version, cell = share.rollup
    increase = {name: count for name, count in zip(COUNTED, cell, strict=False) if count}
    increase |= {f"latency.{step}": number for step, number in latency_of(cell).items()}
    kept = {"owner": share.owner, "by_hour": share.by_hour, "start": start, "version": version}
    return counter_key(share, shard), {"$inc": increase, "$setOnInsert": kept}


def _counter(row: Document) -> Rollup:
    latency = {int(step): number for step, number in row.get("latency", {}).items()}
    return Rollup(
        row["start"].replace(tzinfo=UTC), row["version"], new_cell([row.get(name, 0) for name in COUNTED], latency)
    )


def counter_key(share: Share, shard: int) -> str:
    return f"{_hour_key(share.owner, share.rollup.start)}:{share.rollup.version or 0}:{shard}"


def _hour_key(owner: str, start: datetime) -> str:
    return f"{owner}:{start.strftime(_HOUR_FORMAT)}"


def _chunk_key(owner: str, bucket: Bucket, start: datetime, version: int | None) -> str:
    return f"{owner}:{_MARKS[bucket]}:{start.strftime(_FORMATS[bucket])}:{version or 0}"
