"""Views of listings, counted in memory and written every few seconds: no view costs a write.

Signed-in people count once a day for each listing, as far as this process remembers. Nobody counts for their own. A
process that is killed loses what it has counted since the last write; one that stops writes first.
"""

from __future__ import annotations

from datetime import datetime

from cachetools import LRUCache

from promptforge.core.mongo import Index, Mongo, Tallies, UpdateOne
from promptforge.core.mongo.tallies import MOST_COUNTERS
from promptforge.core.personal import Held, Subject

MOST_REMEMBERED = 100_000
DAYS = "listing_days"
INDEXES: dict[str, tuple[Index, ...]] = {
    DAYS: (
        Index((("seller_id", 1), ("day", 1), ("views", 1), ("listing_id", 1))),
        Index((("listing_id", 1), ("day", 1))),
        Index((("day", 1), ("views", 1))),
    ),
}
HELD = {
    DAYS: Held("How often your listings were looked at", (Subject("seller_id"),), plain=frozenset({"_id"})),
}

Key = tuple[str, str, datetime]


def day_of(moment: datetime) -> datetime:
    """The beginning of its day, UTC."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


class ViewCounter:
    def __init__(self, mongo: Mongo) -> None:
        self._tallies: Tallies[Key] = Tallies(mongo.collection(DAYS), _increment, what="views", most=MOST_COUNTERS)
        self._seen: LRUCache[Key, bool] = LRUCache(MOST_REMEMBERED)

    @property
    def waiting(self) -> int:
        """Views that are not written yet."""
        return self._tallies.waiting

    def add(self, listing_id: str, *, seller_id: str, viewer_id: str | None, now: datetime) -> None:
        day = day_of(now)
        if viewer_id is not None:
            mark = (viewer_id, listing_id, day)
            if mark in self._seen:
                return
            self._seen[mark] = True
        self._tallies.add((listing_id, seller_id, day))

    async def run(self) -> None:
        """Write for as long as the process lives."""
        await self._tallies.run()

    async def flush(self) -> None:
        await self._tallies.flush()


def _increment(key: Key, views: int) -> UpdateOne:
    listing_id, seller_id, day = key
    identity = {"listing_id": listing_id, "seller_id": seller_id, "day": day}
    update = {"$inc": {"views": views}, "$setOnInsert": identity}
    return UpdateOne({"_id": f"{listing_id}:{day:%Y-%m-%d}"}, update, upsert=True)
