"""Where `limits` keeps its counters: in this process, or in MongoDB for budgets that all processes share."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

from cachetools import TLRUCache
from limits.aio.storage.base import Storage as AsyncStorage
from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport, TimestampedSlidingWindow

from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.mongo import DuplicateKey, Index, Mongo

MOST_COUNTERS = 200_000
"""About 60 MB; beyond it those that were asked for least recently are forgotten."""
COUNTERS = "rate_counters"
INDEXES: dict[str, tuple[Index, ...]] = {COUNTERS: (Index((("expires_at", 1),), ttl_seconds=0),)}


class ProcessCounters(Storage, SlidingWindowCounterSupport, TimestampedSlidingWindow):
    """Over a cache of bounded size; the library's own storage looks through all its counters at every hit."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._counters: TLRUCache[str, tuple[int, float]] = TLRUCache(
            MOST_COUNTERS, ttu=lambda _key, counter, _now: counter[1], timer=time.time
        )

    @property
    def base_exceptions(self) -> type[Exception]:
        return KeyError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        count, until = self._counters.get(key) or (0, time.time() + expiry)
        self._counters[key] = (count + amount, until)
        return count + amount

    def get(self, key: str) -> int:
        return (self._counters.get(key) or (0, 0.0))[0]

    def get_expiry(self, key: str) -> float:
        return (self._counters.get(key) or (0, time.time()))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        number = len(self._counters)
        self._counters.clear()
        return number

    def clear(self, key: str) -> None:
        self._counters.pop(key, None)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        previous, previous_seconds, current, _ = self.get_sliding_window(key, expiry)
        if math.floor(previous * previous_seconds / expiry + current) + amount > limit:
            return False
        self.incr(self.sliding_window_keys(key, expiry, time.time())[1], 2 * expiry, amount)
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        now = time.time()
        previous_key, current_key = self.sliding_window_keys(key, expiry, now)
        left = expiry - now % expiry
        return self.get(previous_key), left, self.get(current_key), left + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        for name in self.sliding_window_keys(key, expiry, time.time()):
            self.clear(name)


class SharedCounters(AsyncStorage):
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
