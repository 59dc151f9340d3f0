"""Wakes the event streams of a person: the process's change stream rings, and whoever listens looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Bell:
    """One listener's. Rung while nobody waits, it is heard by the next who does."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """False where it was not rung in that time."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        rung = self._event.is_set()
        if rung:
            self._event = anyio.Event()
        return rung


class Bells:
    """Those of one process, by person."""

    def __init__(self) -> None:
        self._of: dict[str, set[Bell]] = {}

    def ring(self, user_id: str) -> None:
        for bell in self._of.get(user_id, ()):
            bell.ring()

    def ring_all(self) -> None:
        for bells in self._of.values():
            for bell in bells:
                bell.ring()

    @contextmanager
    def heard(self, user_id: str) -> Iterator[Bell]:
        bell = Bell()
        self._of.setdefault(user_id, set()).add(bell)
        try:
            yield bell
        finally:
            mine = self._of[user_id]
            mine.discard(bell)
            if not mine:
                del self._of[user_id]
