"""A circuit breaker: what keeps failing is left alone for a while, so that its failures cost nobody time.

Closed, it counts failures in a row; at the fifth it opens, and everything is refused for ten seconds. Then one request
is let through: it closes the circuit or opens it again for twice as long, up to a minute.
"""

from __future__ import annotations

from collections.abc import Callable

FAILURES = 5
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 60.0


class Breaker:
    """`monotonic`: seconds on a clock that never goes back."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    @property
    def left_seconds(self) -> float:
        """For so long nothing is let through."""
        return 0.0 if self._open_until is None else max(self._open_until - self._monotonic(), 0.0)

    def admit(self) -> float | None:
        """None: go on, and tell how it went. Otherwise the seconds after which it is worth asking again."""
        if self._open_until is None:
            return None
        left = self._open_until - self._monotonic()
        if left > 0:
            return left
        if self._probing:
            return 1.0
        self._probing = True
        return None

    def succeeded(self) -> None:
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._open_until = None
        self._probing = False

    def failed(self) -> None:
        self._failures += 1
        if self._open_until is not None:
            if not self._probing:  # it was on its way when the circuit opened, and is no news
                return
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        elif self._failures < FAILURES:
            return
        self._open_until = self._monotonic() + self._pause
        self._probing = False

    def neither(self) -> None:
        """The request ended and said nothing about the provider: it was refused, or nobody wanted it any more."""
        self._probing = False
