"""The job store of one process: its parts put together around one database, one codec and one clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from promptforge.core.clock import Clock
from promptforge.core.context import Context, JobOptions
from promptforge.core.jobs.claims import Claims
from promptforge.core.jobs.codec import Codec
from promptforge.core.jobs.console import Console
from promptforge.core.jobs.dependents import Dependents
from promptforge.core.jobs.documents import Job
from promptforge.core.jobs.endings import Endings
from promptforge.core.jobs.enqueue import Enqueuer
from promptforge.core.jobs.processes import Processes
from promptforge.core.jobs.queues import Queue, QueueRegistry
from promptforge.core.jobs.schedules import Schedule, Schedules
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.jobs.telemetry import JobTelemetry
from promptforge.core.messages import Message
from promptforge.core.mongo import Mongo


class MongoJobStore:
    """Made once per process. What the runtime's context needs is here; the rest is in the parts."""

    def __init__(
        self,
        mongo: Mongo,
        codec: Codec,
        clock: Clock,
        *,
        queues: Iterable[Queue] = (),
        schedules: Iterable[Schedule] = (),
    ) -> None:
        self.codec = codec
        self.clock = ServerClock(clock)
        self.telemetry = JobTelemetry()
        self.queues = QueueRegistry(mongo, queues)
        self.queues.declare_plain(codec.queues())
        self.dependents = Dependents(mongo, self.clock)
        self.claims = Claims(mongo, self.clock)
        self.endings = Endings(mongo, self.clock, self.dependents)
        self.processes = Processes(mongo, self.clock, lambda kind: codec.policy(kind).keep_dead)
        self.schedules = Schedules(mongo, self.clock, schedules)
        self.console = Console(mongo, self.queues, self.clock, self.dependents)
        self.enqueuer = Enqueuer(mongo, codec, self.queues, self.clock)

    def now(self) -> datetime:
        """The server's time, as well as it is known."""
        return self.clock.now()

    async def get(self, job_id: str, *, owner_id: str | None = None) -> Job:
        """One job; with `owner_id` only that owner's. Raises `NotFound`."""
        return await self.console.get(job_id, owner_id=owner_id)

    async def lag_seconds(self) -> float:
        """How long the first due job has been waiting; 0.0 where none is."""
        plain = [queue.name for queue in self.queues.all() if not queue.fair]
        lags = [-await self.claims.seconds_to_next(plain)]
        lags += [await self.console.oldest_seconds(queue.name) for queue in self.queues.all() if queue.fair]
        return max(0.0, *lags)

    # What Context.enqueue and its like call

    async def enqueue(self, message: Message[Any], context: Context, options: JobOptions) -> str:
        return await self.enqueuer.one(message, context, options)

    async def enqueue_many(self, messages: Iterable[Message[Any]], context: Context, options: JobOptions) -> list[str]:
        return await self.enqueuer.many(messages, context, options)

    async def enqueue_batch(
        self, messages: Sequence[Message[Any]], context: Context, callback: Message[Any] | None, options: JobOptions
    ) -> str:
        return await self.enqueuer.batch(messages, context, callback, options)
