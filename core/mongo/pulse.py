"""Whether MongoDB answers: asked only while the change stream is silent, by one ping at a time, whoever wants to know.

A server that has stopped in its tracks keeps its connections open, and what was sent to it waits for the socket's
time-out, half a minute. Inside a transaction that cannot be cut short. So whoever must answer soon looks here before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from promptforge.core.errors import DatabaseUnavailable

BEAT_SECONDS = 0.25
PATIENCE_SECONDS = 1.0
"""How long a ping may take, and how long its answer counts."""


class Pulse:
    """`heard` says whether changes are being heard of: then MongoDB answers, and nobody asks. `run` is the loop."""

    def __init__(self, ping: Callable[[], Awaitable[None]], heard: Callable[[], bool]) -> None:
        self._ping = ping
        self._heard = heard
        self._beat = anyio.Event()
        self._begun: float | None = None
        self._answered = float("-inf")

    async def run(self) -> None:
        """Ping for ever, while nothing is heard."""
        while True:
            if not self._heard():
                await self._try()
            await anyio.sleep(BEAT_SECONDS)

    async def _try(self) -> None:
        self._begun = anyio.current_time()
        try:
            await self._ping()
            self._answered = anyio.current_time()
        except DatabaseUnavailable:
            pass
        finally:
            self._begun = None
        beat, self._beat = self._beat, anyio.Event()
        beat.set()

    async def check(self) -> None:
        """Costs nothing while changes are heard of. Raises `DatabaseUnavailable` within a second otherwise."""
        if self._heard() or self._recent():
            return
        waited = 0.0 if self._begun is None else anyio.current_time() - self._begun
        with anyio.move_on_after(max(PATIENCE_SECONDS - waited, 0.0)):
            await self._beat.wait()
        if not self._recent():
            raise DatabaseUnavailable

    async def look(self) -> None:
        """Ask, even while changes are heard of: they are for two seconds after the last. Raises as `check`."""
        await self.check()
        with anyio.move_on_after(PATIENCE_SECONDS):
            await self._ping()
            return
        raise DatabaseUnavailable

    def _recent(self) -> bool:
        return anyio.current_time() - self._answered < PATIENCE_SECONDS
