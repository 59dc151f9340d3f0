"""Places at which a test may end the process: named points in the code, which do nothing unless one is armed.

`reach("payout.sent.before_commit")` costs one look into an empty dictionary. A process that was started with that point
armed (the setting `FAILPOINTS`, which production refuses) ends there by SIGKILL: nothing is flushed, closed or told.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

from promptforge.core.errors import ConfigurationError

_armed: dict[str, int] = {}
"""Point → how many times it is passed yet before the process ends there."""


def _end_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_act: Callable[[], None] = _end_process


def reach(point: str) -> None:
    """The process gets here; it ends here where the point is armed."""
    if point in _armed:
        _armed[point] -= 1
        if _armed[point] < 0:
            _act()


def arm(points: Iterable[str]) -> None:
    """`name`, or `name:3` for the time after it was passed three times. Raises `ConfigurationError`."""
    for point in points:
        name, _, passes = point.partition(":")
        if not name or not (passes or "0").isdecimal():
            raise ConfigurationError(f"FAILPOINTS: {point!r} is not name or name:3")
        _armed[name] = int(passes or 0)


def disarm() -> None:
    """No point does anything."""
    _armed.clear()
