"""Who works on the same thing in this process takes turns, instead of conflicting in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from promptforge.core.errors import DeadlineExceeded


class Turns:
    """One at a time for each name, in order of arrival. A name is forgotten when nobody is left who takes turns.

    It is about waste only, not about correctness: other processes have turns of their own.
    """

    def __init__(self) -> None:
        self._locks: dict[str, tuple[anyio.Semaphore, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def taken(self, name: str, *, seconds: float) -> AsyncIterator[None]:
        """Raises `DeadlineExceeded` where the turn does not come in so many seconds."""
        lock, users = self._locks.get(name) or (anyio.Semaphore(1), 0)
        self._locks[name] = (lock, users + 1)
        try:
            with anyio.move_on_after(seconds) as waiting:
                await lock.acquire()
            if waiting.cancelled_caught:
                raise DeadlineExceeded("Others were busy with the same thing for too long")
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, users = self._locks.pop(name)
            if users > 1:
                self._locks[name] = (lock, users - 1)
