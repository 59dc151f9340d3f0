"""Time, injected: the wall clock of documents and the monotonic clock of deadlines come from one object.

And moments as requests write them.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Annotated, Protocol

from pydantic import AfterValidator, BeforeValidator, Strict

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _written_in_full(value: object) -> object:
    """Otherwise numbers, dates and times without an offset would be read too."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        raise ValueError("must be a date and time with its offset (RFC 3339), like 2026-01-31T12:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999") from None


Instant = Annotated[datetime, Strict(False), BeforeValidator(_written_in_full), AfterValidator(_in_utc)]
"""A moment that a request names."""


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
