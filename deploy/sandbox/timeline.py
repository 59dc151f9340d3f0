"""The sandbox's time: the real one, which can be moved forward, and what is due in it."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from promptforge.deploy.sandbox.refusals import Refused

MOST_PLANNED = 50_000


class Timeline:
    """What is planned happens in order of its time, whether that comes or is moved to. It never goes back."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._ahead = 0.0
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def now(self) -> int:
        return int(self._now())

    def _now(self) -> float:
        return self._clock() + self._ahead

    def plan(self, at: float, action: Callable[[], None]) -> None:
        """Past a bound the plan is dropped: the sandbox forgets rather than grows."""
        if len(self._plans) < MOST_PLANNED:
            heapq.heappush(self._plans, (at, next(self._numbers), action))

    def catch_up(self) -> None:
        """Do what is due."""
        while self._plans and self._plans[0][0] <= self._now():
            self._do_next()

    def advance(self, seconds: float) -> int:
        """Move forward, and do what is due on the way, each at its own time. Answers the new time."""
        target = self._now() + seconds
        while self._plans and self._plans[0][0] <= target:
            self._ahead += max(0.0, self._plans[0][0] - self._now())
            self._do_next()
        self._ahead += max(0.0, target - self._now())
        return self.now()

    def _do_next(self) -> None:
        with suppress(Refused):  # what the plan was about has been forgotten, or has ended another way
            heapq.heappop(self._plans)[2]()
