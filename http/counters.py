"""Where requests are counted: in this process, or in MongoDB for budgets that all processes share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cachetools import LRUCache
from limits import RateLimitItem
from limits.aio.storage import Storage

from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.mongo import DuplicateKey, Index, Mongo
from promptforge.core.personal import nobody

MOST_COUNTERS = 200_000
"""About 50 MB; beyond it those that were asked for least recently are forgotten."""
COUNTERS = "rate_counters"
INDEXES: dict[str, tuple[Index, ...]] = {COUNTERS: (Index((("expires_at", 1),), ttl_seconds=0),)}
HELD = {
    COUNTERS: nobody("Counts of requests, for minutes"),
}


@dataclass(frozen=True, slots=True)
class Count:
    """What a budget looks like to who is counted. `seconds`: until more of it is there."""

    allowed: bool
    remaining: int
    seconds: float


class ProcessCounters:
    """A sliding window counter, as that of `limits`: this window, and of the one before the share that is still in it.

    Every request is counted here, so it is one look into a cache of bounded size; the library's takes three times as
    long, and its storage looks through all counters at every hit. Tests hold both side by side.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._counters: LRUCache[tuple[str, str], list[int]] = LRUCache(MOST_COUNTERS)
        """Which window, its count, and the count of the one before."""

    def hit(self, key: tuple[str, str], budget: RateLimitItem) -> Count:
        """Count one more, unless it is too many."""
        expiry: int = budget.get_expiry()
        now = self._now()
        window = int(now // expiry)
        counter = self._counter(key, window)
        if counter is None:
            self._counters[key] = counter = [window, 0, 0]
        count = self._count(counter, now, budget.amount, expiry)
        if not count.allowed:
            return count
        counter[1] += 1
        return Count(True, count.remaining - 1, count.seconds)

    def test(self, key: tuple[str, str], budget: RateLimitItem) -> Count:
        """As `hit`, but nothing is counted."""
        expiry: int = budget.get_expiry()
        now = self._now()
        window = int(now // expiry)
        return self._count(self._counter(key, window) or [window, 0, 0], now, budget.amount, expiry)

    def _counter(self, key: tuple[str, str], window: int) -> list[int] | None:
        counter = self._counters.get(key)
        if counter is not None and counter[0] != window:
            counter[:] = [window, 0, counter[1] if counter[0] == window - 1 else 0]
        return counter

    def _count(self, counter: list[int], now: float, amount: int, expiry: int) -> Count:
        _, current, previous = counter
        left = expiry - now % expiry
        used = int(previous * left / expiry + current)
        if used < amount:
            return Count(True, amount - used, left)
        if current >= amount:  # nothing before the next window, and there what is used now goes little by little
            return Count(False, 0, left + expiry / amount)
        return Count(False, 0, (used + 1 - amount) * expiry / previous)


class SharedCounters(Storage):
    """One small write a hit, on the service's own client; the library's MongoDB storage makes another one."""

    STORAGE_SCHEME = None

    def __init__(self, mongo: Mongo) -> None:
        super().__init__()
        self._counters = mongo.collection(COUNTERS)

    @property
    def base_exceptions(self) -> type[Exception]:
        return DatabaseUnavailable

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """The key names no window: a counter lives for `expiry` seconds from its first hit and then starts anew."""
        now = datetime.now(UTC)
        fresh = {"count": amount, "expires_at": now + timedelta(seconds=expiry)}
        try:
            row = await self._counters.find_one_and_upsert(
                {"_id": key, "expires_at": {"$gt": now}},
                {"$inc": {"count": amount}, "$setOnInsert": {"expires_at": fresh["expires_at"]}},
            )
        except DuplicateKey:  # it is there and over, or another process was faster
            over = await self._counters.find_one_and_update({"_id": key, "expires_at": {"$lte": now}}, {"$set": fresh})
            row = over or await self._counters.find_one_and_upsert({"_id": key}, {"$inc": {"count": amount}})
        count: int = row["count"]
        return count

    async def get(self, key: str) -> int:
        return (await self._row(key))[0]

    async def get_expiry(self, key: str) -> float:
        return (await self._row(key))[1]

    async def _row(self, key: str) -> tuple[int, float]:
        row = await self._counters.find_one({"_id": key, "expires_at": {"$gt": datetime.now(UTC)}})
        return (0, time.time()) if row is None else (row["count"], row["expires_at"].timestamp())

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        return (await self._counters.delete_many({})).deleted_count

    async def clear(self, key: str) -> None:
        await self._counters.delete_one({"_id": key})
