"""Keeps receivers that do not answer from taking the places of those that do, in this process.

A receiver has a few requests under way at once, and one that fails has one. All that fail together have at most a third
of the queue's places. One that did not answer several times in a row is left alone for a while. What is not let in is
snoozed: that is no attempt, and costs a write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from cachetools import LRUCache

from promptforge.core.breaker import Breaker
from promptforge.core.jobs import Snooze

PLACES = 64
MOST_OF_ONE = 4
MOST_FAILING = 20
KNOWN = 10_000
SNOOZED_SECONDS = (1.0, 5.0)


class Gate:
    """`monotonic`: seconds on a clock that never goes back."""

    def __init__(self, monotonic: Callable[[], float], rng: Random) -> None:
        self._monotonic = monotonic
        self._rng = rng
        self._under_way: Counter[str] = Counter()
        self._failing = 0
        self._breakers: LRUCache[str, Breaker] = LRUCache(KNOWN)

    @contextmanager
    def entered(self, receiver: str, *, failing: bool) -> Iterator[Breaker]:
        """Tell the breaker how it went. Raises `Snooze`."""
        most = 1 if failing else MOST_OF_ONE
        if self._under_way[receiver] >= most or (failing and self._failing >= MOST_FAILING):
            raise Snooze(self._rng.uniform(*SNOOZED_SECONDS), "others are being sent to first")
        breaker = self._breakers.setdefault(receiver, Breaker(self._monotonic))
        left = breaker.admit()
        if left is not None:
            raise Snooze(left * self._rng.uniform(1.0, 1.5), "the receiver does not answer at the moment")
        self._under_way[receiver] += 1
        self._failing += failing
        try:
            yield breaker
        finally:
            breaker.neither()
            self._failing -= failing
            self._under_way[receiver] -= 1
            if not self._under_way[receiver]:
                del self._under_way[receiver]
