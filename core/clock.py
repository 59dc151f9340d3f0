"""Time, injected: the wall clock of documents and the monotonic clock of deadlines come from one object."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the rest of the code may know about time."""

    def now(self) -> datetime:
        """The present moment, UTC, in whole milliseconds (what MongoDB keeps)."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; the one that deadlines are written in."""
        ...


class SystemClock:
    """The machine's clocks. `time.monotonic` is the clock of asyncio's and uvloop's loops on Linux."""

    def now(self) -> datetime:
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    monotonic = staticmethod(time.monotonic)
