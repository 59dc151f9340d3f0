"""This process's share of one queue: what it runs, what it holds ready, and how much more it wants.

A queue of short jobs is claimed in large batches, held ready in memory, so that no slot waits for a round trip; one of
long jobs only as slots get free, so that other processes get the rest.
"""

from __future__ import annotations

import math
from collections import deque

from promptforge.core.jobs.claims import LARGEST_CLAIM
from promptforge.core.jobs.documents import Job
from promptforge.core.jobs.queues import Queue

HELD_READY_SECONDS = 0.1
"""About so much work is held ready in memory."""
LONGEST_PREFETCHED_SECONDS = 0.05
"""Jobs that take longer than this on average are claimed one slot at a time."""
_SMOOTHING = 0.05


class Lane:
    """Counters and a buffer; the runner does the work. `hungry`: there may be something to claim.

    `asked_at`: when it was last tried to claim, on the runner's monotonic clock.
    """

    __slots__ = ("asked_at", "filling", "hungry", "mean_seconds", "queue", "ready", "reserved", "running")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.ready: deque[Job] = deque()
        self.running = 0
        self.reserved = 0
        self.hungry = True
        self.asked_at = -math.inf
        self.filling = False
        self.mean_seconds: float | None = None

    @property
    def is_polled(self) -> bool:
        """When its next job is due cannot be told from the index."""
        return self.queue.limited or self.queue.fair

    @property
    def has_slot(self) -> bool:
        return self.running + self.reserved < self.queue.concurrency

    @property
    def idle(self) -> bool:
        """A job could start at once, and none waits before it."""
        queue = self.queue
        return self.has_slot and not (self.ready or self.hungry or queue.paused or self.is_polled)

    def wanted(self) -> int:
        """How many more to claim now; 0 while what is held ready is enough."""
        slots = self.queue.concurrency - self.running - self.reserved
        held = len(self.ready)
        most = self._most_ready()
        if held > most // 2:
            return 0
        return min(max(slots, 0) + most - held, LARGEST_CLAIM)

    def _most_ready(self) -> int:
        mean = self.mean_seconds
        if mean is None or mean > LONGEST_PREFETCHED_SECONDS or self.queue.limited:
            return 0
        return min(int(self.queue.concurrency * HELD_READY_SECONDS / max(mean, 1e-6)), 2 * LARGEST_CLAIM)

    def ran(self, seconds: float) -> None:
        """One job took so long."""
        mean = self.mean_seconds
        self.mean_seconds = seconds if mean is None else mean + (seconds - mean) * _SMOOTHING
