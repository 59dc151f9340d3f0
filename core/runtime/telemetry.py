"""What an actor tells about itself: histograms, the dead letters, and the snapshot that operators see."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

BUCKETS = 28  # powers of two of a microsecond: 1 µs … 134 s


class Histogram:
    """Durations in buckets whose upper bounds are powers of two microseconds; adding one costs a tenth of a µs."""

    __slots__ = ("counts", "total_seconds")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.total_seconds = 0.0

    def add(self, seconds: float) -> None:
        self.total_seconds += seconds
        bucket = int(seconds * 1e6).bit_length()
        self.counts[bucket if bucket < BUCKETS else BUCKETS - 1] += 1

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile_seconds(self, share: float) -> float:
        """The upper bound of the bucket that holds the `share` quantile (0 to 1); 0.0 where nothing was added."""
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return float(1 << bucket) / 1e6
        return 0.0


class DeadLetterReason(StrEnum):
    FULL = "full"
    """The mailbox had no room."""
    EXPIRED = "expired"
    """The deadline passed before a worker took it up."""
    ABANDONED = "abandoned"
    """Its asker was cancelled before a worker took it up."""
    STOPPED = "stopped"
    """The actor stopped with the message still waiting."""
    UNHANDLED = "unhandled"
    """No actor handles this kind, or a told message's handler failed and nobody waited to hear it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message nobody handled: its kind and where it was going, never its content."""

    at: datetime
    reason: DeadLetterReason
    kind: str
    actor: str
    request_id: str


class DeadLetters:
    """The last 256 dead letters and a counter per reason since the process started."""

    def __init__(self, size: int = 256) -> None:
        self.ring: deque[DeadLetter] = deque(maxlen=size)
        self.counts: Counter[DeadLetterReason] = Counter()

    def add(self, letter: DeadLetter) -> None:
        self.ring.append(letter)
        self.counts[letter.reason] += 1


class ActorState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    """Its start waits for a dependency (MongoDB); not counted as a crash."""
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    """It crashed more often than allowed and stays down: readiness is red."""


@dataclass(slots=True)
class Counters:
    """Totals since the process started; they survive restarts of the actor."""

    handled: int = 0
    failed: int = 0
    expired: int = 0
    rejected: int = 0
    abandoned: int = 0
    restarts: int = 0
    high_water_mark: int = 0
    wait: Histogram = field(default_factory=Histogram)
    run: Histogram = field(default_factory=Histogram)


@dataclass(frozen=True, slots=True)
class InFlight:
    """A message being handled. `waiting_on` is the actor it is asking right now."""

    kind: str
    key: str | None
    elapsed_seconds: float
    waiting_on: str | None


@dataclass(frozen=True, slots=True)
class ActorSnapshot:
    """One actor as it is now. Durations are quantile upper bounds in seconds."""

    name: str
    state: ActorState
    critical: bool
    workers: int
    depth: int
    high_water_mark: int
    mailbox_size: int
    in_flight: tuple[InFlight, ...]
    handled: int
    failed: int
    expired: int
    rejected: int
    abandoned: int
    restarts: int
    last_crash: str | None
    wait_p50_seconds: float
    wait_p99_seconds: float
    run_p50_seconds: float
    run_p99_seconds: float
