"""Views of listings, counted in memory and written every few seconds: no view costs a write.

Signed-in people count once a day for each listing, as far as this process remembers. Nobody counts for their own. A
process that is killed loses what it has counted since the last write; one that stops writes first.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import anyio
import structlog
from cachetools import LRUCache

from promptforge.core.errors import OutcomeUnknown, Unavailable
from promptforge.core.mongo import Index, Mongo, UpdateOne
from promptforge.core.personal import Held, Subject

FLUSH_SECONDS = 4.0
"""Together with the write itself below the five seconds that may be lost."""
MOST_COUNTERS = 10_000
"""One for each listing and day. More make it write sooner; while the database is away they are dropped."""
MOST_REMEMBERED = 100_000
DAYS = "listing_days"
INDEXES: dict[str, tuple[Index, ...]] = {
    DAYS: (
        Index((("seller_id", 1), ("day", 1))),
        Index((("listing_id", 1), ("day", 1))),
        Index((("day", 1), ("views", 1))),
    ),
}
HELD = {
    DAYS: Held("How often your listings were looked at", (Subject("seller_id"),), plain=frozenset({"_id"})),
}

log = structlog.get_logger(__name__)
Key = tuple[str, str, datetime]


def day_of(moment: datetime) -> datetime:
    """The beginning of its day, UTC."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


class ViewCounter:
    def __init__(self, mongo: Mongo) -> None:
        self._days = mongo.collection(DAYS)
        self._counts: Counter[Key] = Counter()
        self._seen: LRUCache[tuple[str, str, datetime], bool] = LRUCache(MOST_REMEMBERED)
        self._full = anyio.Event()

    @property
    def waiting(self) -> int:
        """Views that are not written yet."""
        return self._counts.total()

    def add(self, listing_id: str, *, seller_id: str, viewer_id: str | None, now: datetime) -> None:
        day = day_of(now)
        key = (listing_id, seller_id, day)
        if viewer_id is not None:
            mark = (viewer_id, listing_id, day)
            if mark in self._seen:
                return
            self._seen[mark] = True
        if len(self._counts) >= MOST_COUNTERS and key not in self._counts:
            self._full.set()
            return
        self._counts[key] += 1

    async def run(self) -> None:
        """Write for as long as the process lives."""
        while True:
            with anyio.move_on_after(FLUSH_SECONDS):
                await self._full.wait()
            self._full = anyio.Event()
            await self.flush()

    async def flush(self) -> None:
        """Write what is counted. What the database could not take is counted further; what is not known is let go."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await self._days.bulk_write([_increment(key, views) for key, views in counts.items()], ordered=False)
        except Unavailable:
            for key, views in counts.items():
                if key in self._counts or len(self._counts) < MOST_COUNTERS:
                    self._counts[key] += views
        except OutcomeUnknown:
            log.warning("views.lost", views=counts.total())


def _increment(key: Key, views: int) -> UpdateOne:
    listing_id, seller_id, day = key
    identity = {"listing_id": listing_id, "seller_id": seller_id, "day": day}
    update = {"$inc": {"views": views}, "$setOnInsert": identity}
    return UpdateOne({"_id": f"{listing_id}:{day:%Y-%m-%d}"}, update, upsert=True)
