"""Counts kept in memory and written every few seconds, so that nothing that is only counted costs a write.

A process that is killed loses what it has counted since the last write; one that stops writes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
import structlog

from promptforge.core.errors import OutcomeUnknown, Unavailable
from promptforge.core.mongo.collections import Collection, UpdateOne

KeyT = TypeVar("KeyT")
FLUSH_SECONDS = 4.0
"""Together with the write itself below the five seconds that may be lost."""
MOST_COUNTERS = 10_000
"""More make it write sooner; while the database is away they are dropped."""

log = structlog.get_logger(__name__)


class Tallies(Generic[KeyT]):
    """`increment` is the update that adds a count to a key's document. `what` it is, the log says if it is lost."""

    def __init__(
        self,
        collection: Collection,
        increment: Callable[[KeyT, int], UpdateOne],
        *,
        what: str,
        most: int = MOST_COUNTERS,
    ) -> None:
        self._collection = collection
        self._increment = increment
        self._what = what
        self._most = most
        self._counts: Counter[KeyT] = Counter()
        self._full = anyio.Event()

    @property
    def waiting(self) -> int:
        """What is not written yet."""
        return self._counts.total()

    def add(self, key: KeyT) -> None:
        if len(self._counts) >= self._most and key not in self._counts:
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
            writes = [self._increment(key, count) for key, count in counts.items()]
            await self._collection.bulk_write(writes, ordered=False)
        except Unavailable:
            for key, count in counts.items():
                if key in self._counts or len(self._counts) < self._most:
                    self._counts[key] += count
        except OutcomeUnknown:
            log.warning("counts.lost", what=self._what, count=counts.total())
