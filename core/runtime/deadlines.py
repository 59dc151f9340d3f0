"""One watcher for every ask's deadline.

A cancel scope with a timer per ask costs as much as the ask itself; here an ask enters a bucket of 1/64 s (0.3 µs) and
one task fails what is left in a bucket when its time comes. Late by at most one bucket, never early.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from promptforge.core.errors import DeadlineExceeded

if TYPE_CHECKING:
    from promptforge.core.runtime.cell import Envelope

BUCKETS_PER_SECOND = 64


class Deadlines:
    """Holds the envelopes somebody waits for, by deadline; bounded by what the mailboxes and workers hold."""

    def __init__(self, expire: Callable[[Envelope, DeadlineExceeded], None]) -> None:
        self._expire = expire
        self._buckets: dict[int, set[Envelope]] = {}
        self._sooner: anyio.Event | None = None
        self._next = math.inf

    def add(self, envelope: Envelope, deadline: float) -> int:
        """Watch `envelope`; answers the bucket, to be given back to `discard`."""
        bucket = int(deadline * BUCKETS_PER_SECOND) + 1
        waiting = self._buckets.get(bucket)
        if waiting is None:
            self._buckets[bucket] = {envelope}
            if bucket < self._next and self._sooner is not None:
                self._sooner.set()
        else:
            waiting.add(envelope)
        return bucket

    def discard(self, envelope: Envelope, bucket: int) -> None:
        """Watch it no longer."""
        waiting = self._buckets.get(bucket)
        if waiting is not None:
            waiting.discard(envelope)
            if not waiting:
                del self._buckets[bucket]

    async def run(self) -> None:
        """Fail what is late, for ever; idle while nothing is watched."""
        while True:
            self._sooner = anyio.Event()
            self._next = min(self._buckets, default=math.inf)
            with anyio.CancelScope(deadline=self._next / BUCKETS_PER_SECOND):
                await self._sooner.wait()
            now = anyio.current_time() * BUCKETS_PER_SECOND
            for bucket in sorted(bucket for bucket in self._buckets if bucket <= now):
                for envelope in self._buckets.pop(bucket, set()):
                    self._expire(envelope, DeadlineExceeded())
