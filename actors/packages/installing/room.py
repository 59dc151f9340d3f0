"""Room for packages in memory: the largest takes some hundred megabytes while it is read and installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from promptforge.core.errors import DeadlineExceeded
from promptforge.core.runtime.turns import Turns
from promptforge.core.runtime.turnstile import Turnstile

AT_ONCE = 2
MOST_WAITING = 50


class Room:
    """For two packages at once in this process, of two people: whoever brings many waits for their own."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._places = Turnstile(limit=AT_ONCE, max_waiting=MOST_WAITING)

    @asynccontextmanager
    async def entered(self, user_id: str, *, seconds: float) -> AsyncIterator[None]:
        """Raises `DeadlineExceeded` where there is no room in so many seconds, or `MailboxFull`."""
        until = anyio.current_time() + seconds
        async with self._turns.taken(user_id, seconds=seconds):
            with anyio.move_on_after(until - anyio.current_time()) as waiting:
                await self._places.enter()
            if waiting.cancelled_caught:
                raise DeadlineExceeded("Others' packages were installed for too long")
            try:
                yield
            finally:
                self._places.leave()
