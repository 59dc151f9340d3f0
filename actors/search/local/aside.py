"""What of a search leaves the event loop: only what would hold it for long.

Changing threads costs more than most searches do. Two threads that want the interpreter take it from each other, and
wake each other on other processors: with two threads for looking into the index, 20 clients had half of the answers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint

MOST_COMPARED = 250_000
"""Rows that are compared, or counted, in the event loop: that takes some two milliseconds. More are in a thread, of
which there is one: comparing needs the interpreter most of the time.
"""
MOST_POSTINGS = 250_000
"""Places of words in the index that are looked through in the event loop: that takes three milliseconds at most, and a
third of one as a rule. More are in threads, as many as there are processors.
"""
POSTINGS_OF_AUDIENCE = 2_000
"""What an audience costs, in places: each is a term of every query, at some 25 µs."""
TURN_SECONDS = 0.01
"""Longer than most searches take: whoever stops half-way waits until all the others had their turn."""
T = TypeVar("T")


class Turn:
    """Lets others have their turn when one has lasted long enough."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self._until = time.monotonic() + TURN_SECONDS

    async def over(self) -> None:
        if time.monotonic() >= self._until:
            await checkpoint()
            self.begin()


class Aside:
    """Made in the event loop that uses it."""

    def __init__(self) -> None:
        self._looking = anyio.CapacityLimiter(max(2, os.cpu_count() or 2))
        self._comparing = anyio.CapacityLimiter(1)

    async def look(self, call: Callable[[], T], postings: int, turn: Turn) -> T:
        """Into the index of words, which gives up the interpreter."""
        if postings <= MOST_POSTINGS:
            return call()
        return await _in_thread(call, self._looking, turn)

    async def compare(self, call: Callable[[], T], rows: int, turn: Turn) -> T:
        if rows <= MOST_COMPARED:
            return call()
        return await _in_thread(call, self._comparing, turn)


async def _in_thread(call: Callable[[], T], limiter: anyio.CapacityLimiter, turn: Turn) -> T:
    """Others have had their turn by then."""
    found = await to_thread.run_sync(call, limiter=limiter)
    turn.begin()
    return found
