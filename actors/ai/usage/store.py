"""Every query on `usage_rollups`: what runs took, by prompt and version and hour, by the same and day, by user and day.

A run is added in the transaction that writes its usage record, so that the sums are those of the records. A document's
`_id` begins with whose it is, the stretch and its start: what is asked for is one range of that index. A stretch may
have several documents (`Shards`), which are added up when they are read.
"""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.ai.messages import UsageRecord
from promptforge.actors.ai.usage.domain import COUNTED, Rollup, rollups_of
from promptforge.actors.ai.usage.messages import Bucket
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.mongo import Index, Mongo

ROLLUPS = "usage_rollups"
INDEXES: dict[str, tuple[Index, ...]] = {ROLLUPS: ()}

SHARDS = 16
MOST_ROWS = 10_000
"""Documents that one question may read: 2,000 hours of five versions."""
_MARKS = {Bucket.HOUR: "h", Bucket.DAY: "d"}
_FORMATS = {Bucket.HOUR: "%Y-%m-%dT%H", Bucket.DAY: "%Y-%m-%d"}


class Shards:
    """Which of several documents a run is added to.

    Two transactions that write one document conflict, and one of them has to run again. So each takes the number that
    fewest others of this process are writing to, the lowest one first: a prompt that is seldom run has one document
    per stretch, and a hot one as many as there are runs that end at the same moment. Other processes' numbers are not
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
        self._rollups = mongo.collection(ROLLUPS)
        self._shards = Shards()

    async def add(self, record: UsageRecord, tx: Context) -> None:
        """Add a run that ended to the sums that it belongs to, in the context's transaction."""
        parts = rollups_of(record)
        shards = {owner: self._shards.take(owner, tx) for owner in {owner for owner, _, _ in parts}}
        for owner, bucket, rollup in parts:
            key = f"{_key(owner, bucket, rollup.start)}:{rollup.version or 0}:{shards[owner]}"
            increase = {name: count for name, count in zip(COUNTED, rollup.counts, strict=True) if count}
            increase |= {f"latency.{step}": count for step, count in rollup.latency.items()}
            kept = {"start": rollup.start, "version": rollup.version}
            update = {"$inc": increase, "$setOnInsert": kept}
            await self._rollups.update_one({"_id": key}, update, upsert=True, session=tx.session)

    async def list_between(self, owner: str, bucket: Bucket, start: datetime, end: datetime) -> list[Rollup]:
        """Those of a prompt or a user from `start` until before `end`, by time. Raises `Invalid` for too many."""
        rows = self._rollups.find(between(owner, bucket, start, end)).sort([("_id", 1)]).limit(MOST_ROWS + 1)
        found = await rows.to_list(MOST_ROWS + 1)
        if len(found) > MOST_ROWS:
            raise Invalid("That is more than can be added up at once: ask for a shorter time or for longer buckets")
        return [
            Rollup(
                row["start"],
                row["version"],
                [row.get(name, 0) for name in COUNTED],
                row.get("latency", {}),
            )
            for row in found
        ]


def between(owner: str, bucket: Bucket, start: datetime, end: datetime) -> dict[str, dict[str, str]]:
    """The filter: one range of the index on `_id`."""
    return {"_id": {"$gte": _key(owner, bucket, start), "$lt": _key(owner, bucket, end)}}


def _key(owner: str, bucket: Bucket, start: datetime) -> str:
    return f"{owner}:{_MARKS[bucket]}:{start.strftime(_FORMATS[bucket])}"
