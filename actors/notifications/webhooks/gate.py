"""Keeps receivers that do not answer from taking the places of those that do, in this process.

A receiver that has answered quickly has a few requests under way at once. One that fails, that was slow, or that is not
known yet has one. Those that fail or are slow have together at most a third of the queue's places, and those that are
not known another third: otherwise a few accounts whose receivers take their time would hold up everybody's. Nor has one
owner more than a few, however many receivers they have. One that did not answer several times in a row is left alone
for a while. What is not let in is snoozed, longer each time: that is no attempt, and costs a claim and a write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from random import Random

from cachetools import LRUCache

from promptforge.core.breaker import Breaker
from promptforge.core.jobs import Snooze

PLACES = 64
MOST_OF_ONE = 4
MOST_OF_OWNER = 8
MOST_SLOW = 20
MOST_UNKNOWN = 20
SLOW_SECONDS = 2.0
KNOWN = 10_000
FIRST_SNOOZE_SECONDS = 3.0
LONGEST_SNOOZE_SECONDS = 300.0


class _Pace(Enum):
    QUICK = auto()
    SLOW = auto()
    """Or failing."""
    UNKNOWN = auto()


_MOST = {_Pace.SLOW: MOST_SLOW, _Pace.UNKNOWN: MOST_UNKNOWN, _Pace.QUICK: PLACES}


@dataclass(slots=True)
class _Receiver:
    """`took`: how many seconds the last request has taken; None before there was one."""

    owner: str
    failing: bool
    breaker: Breaker
    took: float | None = None

    @property
    def pace(self) -> _Pace:
        if self.failing or (self.took or 0.0) > SLOW_SECONDS:
            return _Pace.SLOW
        return _Pace.UNKNOWN if self.took is None else _Pace.QUICK


class Gate:
    """`monotonic`: seconds on a clock that never goes back. `snoozed`: how often a job was not let in before."""

    def __init__(self, monotonic: Callable[[], float], rng: Random) -> None:
        self._monotonic = monotonic
        self._rng = rng
        self._under_way: Counter[str] = Counter()
        """By receiver, and by owner."""
        self._paces: Counter[_Pace] = Counter()
        self._receivers: LRUCache[str, _Receiver] = LRUCache(KNOWN)

    def check(self, receiver: str, *, snoozed: int) -> None:
        """As far as it is known without reading anything. Raises `Snooze`."""
        known = self._receivers.get(receiver)
        if known is not None:
            self._look(receiver, known, snoozed)
            if left := known.breaker.left_seconds:
                raise self._left_alone(left, snoozed)

    @contextmanager
    def entered(self, receiver: str, *, owner: str, failing: bool, snoozed: int = 0) -> Iterator[Breaker]:
        """Tell the breaker how it went. Raises `Snooze`."""
        known = self._receivers.get(receiver)
        if known is None:
            known = self._receivers[receiver] = _Receiver(owner, failing, Breaker(self._monotonic))
        known.owner, known.failing = owner, failing
        self._look(receiver, known, snoozed)
        left = known.breaker.admit()
        if left is not None:
            raise self._left_alone(left, snoozed)
        pace, began = known.pace, self._monotonic()
        self._under_way.update((receiver, owner))
        self._paces[pace] += 1
        try:
            yield known.breaker
        finally:
            known.breaker.neither()
            known.took = self._monotonic() - began
            self._paces[pace] -= 1
            for one in (receiver, owner):
                self._under_way[one] -= 1
                if not self._under_way[one]:
                    del self._under_way[one]

    def _look(self, receiver: str, known: _Receiver, snoozed: int) -> None:
        """Raises `Snooze` where others come first."""
        pace = known.pace
        most = MOST_OF_ONE if pace is _Pace.QUICK else 1
        full = self._under_way[receiver] >= most or self._under_way[known.owner] >= MOST_OF_OWNER
        if full or self._paces[pace] >= _MOST[pace]:
            raise Snooze(self._later(snoozed), "others are being sent to first")

    def _left_alone(self, left: float, snoozed: int) -> Snooze:
        seconds = max(left * self._rng.uniform(1.0, 1.5), self._later(snoozed))
        return Snooze(seconds, "the receiver does not answer at the moment")

    def _later(self, snoozed: int) -> float:
        """Twice as long each time: what waits behind a slow receiver must not be looked at again and again."""
        return min(FIRST_SNOOZE_SECONDS * 2.0 ** min(snoozed, 10), LONGEST_SNOOZE_SECONDS) * self._rng.uniform(0.5, 1.0)
