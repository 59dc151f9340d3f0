"""A bound on how many run at once, with a bounded queue in front of it."""

from __future__ import annotations

from collections import deque

import anyio

from promptforge.core.errors import MailboxFull


class Turnstile:
    """At most `limit` inside; others wait in order of arrival, at most `max_waiting` of them.

    A place is handed to the next in line by whoever leaves, so a newcomer never overtakes one who waits.
    """

    def __init__(self, *, limit: int, max_waiting: int) -> None:
        self.inside = 0
        self._limit = limit
        self._max_waiting = max_waiting
        self._waiting: deque[anyio.Event] = deque()

    async def enter(self) -> None:
        """Take a place, waiting for one; raises `MailboxFull` where too many wait already."""
        if self.inside < self._limit:
            self.inside += 1
            return
        if len(self._waiting) >= self._max_waiting:
            raise MailboxFull(f"{self._limit} queries run and {len(self._waiting)} wait")
        turn = anyio.Event()
        self._waiting.append(turn)
        entered = False
        try:
            await turn.wait()
            entered = True
        finally:
            if not entered:  # cancelled: give up the place in line, or the place itself if it came meanwhile
                if turn.is_set():
                    self.leave()
                else:
                    self._waiting.remove(turn)

    def leave(self) -> None:
        """Give the place to the next in line, or free it."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self.inside -= 1
