"""Batches that come while one is being written are written together: small ones cost a share of a write."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

import anyio

from promptforge.actors.analytics.events.store import EventStore
from promptforge.core.errors import OutcomeUnknown, PromptForgeError
from promptforge.core.mongo import Document

MOST_AT_ONCE = 2000
"""Events of one write. A batch that has more is written by itself."""
WRITERS = 2
"""Writes at once: while one waits for the disk, the next is on its way."""


@dataclass(slots=True, eq=False)
class _Share:
    """One caller's rows; once `done`, how many of them were new, or the `error`."""

    rows: list[Document]
    taken: bool = False
    inserted: int = 0
    error: PromptForgeError | None = None
    done: anyio.Event = field(default_factory=anyio.Event)


class Intake:
    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._waiting: deque[_Share] = deque()
        self._turns = anyio.Semaphore(WRITERS)

    async def add(self, rows: list[Document], *, now: datetime) -> int:
        """Write the rows; answers how many of them were new. Raises what the write raises: some may be written then."""
        share = _Share(rows)
        self._waiting.append(share)
        async with self._turns:
            if not share.taken:
                await self._write(self._take(), now)
        await share.done.wait()
        if share.error is not None:
            raise share.error
        return share.inserted

    def _take(self) -> list[_Share]:
        """Who waits, in order, as far as it fits; the first always does."""
        taken: list[_Share] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0].rows) <= MOST_AT_ONCE):
            share = self._waiting.popleft()
            share.taken = True
            taken.append(share)
            size += len(share.rows)
        return taken

    async def _write(self, shares: list[_Share], now: datetime) -> None:
        rows = [row for share in shares for row in share.rows]
        error: PromptForgeError | None = OutcomeUnknown()
        try:
            refused = await self._store.insert(rows, now=now)
            error, first = None, 0
            for share in shares:
                end = first + len(share.rows)
                share.inserted = sum(number not in refused for number in range(first, end))
                first = end
        except PromptForgeError as known:
            error = known
        finally:
            for share in shares:
                share.error = error
                share.done.set()
