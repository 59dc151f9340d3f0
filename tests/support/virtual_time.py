"""Tests in virtual time, on asyncio and on trio: sleeping costs nothing, and an hour passes exactly."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
import trio.testing

BACKENDS = ("asyncio", "trio")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time stands still while anything can run, and then jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_now = 0.0

    def time(self) -> float:
        return self._virtual_now

    def _run_once(self) -> None:
        timers: list[Any] = self._scheduled  # type: ignore[attr-defined]  # asyncio's own heap of timer handles
        while timers and timers[0]._cancelled:
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
            heapq.heappop(timers)._scheduled = False
        if not self._ready and timers:  # type: ignore[attr-defined]
            self._virtual_now = max(self._virtual_now, timers[0]._when)
        super()._run_once()  # type: ignore[misc]


class LoopClock:
    """The runtime's clock on the running loop's time."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=anyio.current_time())

    def monotonic(self) -> float:
        return anyio.current_time()


def run_virtually(backend: str, main: Callable[[], Awaitable[None]]) -> None:
    """Run `main` to its end on `backend`, with a clock of its own."""
    options: dict[str, Any]
    if backend == "asyncio":
        options = {"loop_factory": VirtualLoop}
    else:
        options = {"clock": trio.testing.MockClock(autojump_threshold=0)}
    anyio.run(main, backend=backend, backend_options=options)


def virtual(test: Callable[[], Awaitable[None]]) -> Callable[[str], None]:
    """Turn an async test without parameters into one that runs in virtual time on each backend."""

    def run(backend: str) -> None:
        run_virtually(backend, test)

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    run.__module__ = test.__module__
    marked: Callable[[str], None] = pytest.mark.parametrize("backend", BACKENDS)(run)
    return marked
