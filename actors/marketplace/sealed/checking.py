"""Compares outputs with sealed texts in threads, few at a time, and keeps what was prepared for that within a bound.

A long text takes half a second of a processor and some 230 bytes a letter to prepare: nobody else waits, two that
need the same one prepare it once, and what has not been used for longest makes room.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import anyio.to_thread
from cachetools import LRUCache

from promptforge.actors.marketplace.sealed.matching import Match, Sealed, compare

AT_ONCE = 2
KEPT_BYTES = 64 * 1024 * 1024


class Checking:
    """`name`: a prompt and its version; `pieces` are their sealed text."""

    def __init__(self, *, at_once: int = AT_ONCE, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: LRUCache[tuple[str, int], Sealed] = LRUCache(kept_bytes, getsizeof=_bytes_kept)
        self._preparing = anyio.Lock()
        self._threads = anyio.CapacityLimiter(at_once)

    @property
    def bytes_kept(self) -> int:
        return int(self._kept.currsize)

    def find(self, name: tuple[str, int]) -> Sealed | None:
        return self._kept.get(name)

    async def prepared(self, name: tuple[str, int], pieces: Sequence[str]) -> Sealed:
        if (found := self.find(name)) is not None:
            return found
        async with self._preparing:
            if (found := self.find(name)) is not None:  # by whoever was before
                return found
            found = await anyio.to_thread.run_sync(Sealed, pieces)
            if found.bytes_kept <= self._kept.maxsize:
                self._kept[name] = found
            return found

    async def compared(self, sealed: Sealed, output: str, known: Sequence[str]) -> Match:
        return await anyio.to_thread.run_sync(compare, sealed, output, known, limiter=self._threads)


def _bytes_kept(sealed: Sealed) -> int:
    return sealed.bytes_kept
