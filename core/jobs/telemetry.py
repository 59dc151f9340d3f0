"""What the runner counts, per kind of job; exported as Prometheus metrics (docs/jobs.md lists them)."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from promptforge.core.runtime.telemetry import Histogram


class Outcome(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    RETRIED = "retried"
    DEAD = "dead"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    SNOOZED = "snoozed"
    HANDED_BACK = "handed_back"
    """Given back without having been the job's fault: full mailbox, stopping process, unknown kind."""
    CLAIM_LOST = "claim_lost"


class KindStats:
    """One kind's counts since the process started; durations in seconds."""

    __slots__ = ("outcomes", "run", "wait")

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.wait = Histogram()
        """From when it was due to when an attempt was handed to the actor."""
        self.run = Histogram()


class JobTelemetry:
    def __init__(self) -> None:
        self.kinds: dict[str, KindStats] = {}
        self.rescued = 0

    def kind(self, kind: str) -> KindStats:
        stats = self.kinds.get(kind)
        if stats is None:
            stats = self.kinds[kind] = KindStats()
        return stats
