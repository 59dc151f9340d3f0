"""A process in miniature for tests of jobs: a system of actors, a job store and a runner on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import anyio

from promptforge.core.audit import INDEXES as AUDIT_INDEXES
from promptforge.core.audit import AuditLog
from promptforge.core.clock import Clock, SystemClock
from promptforge.core.context import Context
from promptforge.core.jobs import INDEXES, Codec, Job, JobRunner, MongoJobStore, Queue, Schedule, Sealer, follow_jobs
from promptforge.core.mongo import ChangeFeed, Mongo, Session, run_transaction
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor, System
from tests.support.mongo import with_indexes

UNHURRIED_SECONDS = 600.0
"""What tests may ask with one context: it outlives the test, on a slow machine too."""
T = TypeVar("T")


class MongoTransactions:
    """The runtime's port for transactions, on a real MongoDB."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def __call__(self, work: Callable[[Session], Awaitable[T]], *, deadline: float) -> T:
        return await run_transaction(self._mongo, work, deadline=deadline)


@dataclass(frozen=True, slots=True)
class TestProcess:
    """What a test wants to touch."""

    __test__ = False

    mongo: Mongo
    system: System
    store: MongoJobStore
    runner: JobRunner

    def context(self, principal: Principal | None = None) -> Context:
        return self.system.context(
            request_id="req_test", principal=principal, trusted=True, timeout_seconds=UNHURRIED_SECONDS
        )

    async def claim(self, limit: int = 100, queue: str = "default") -> list[Job]:
        """Claim by hand, beside a runner that does not run."""
        store = self.store
        return (await store.claims.claim(store.queues[queue], limit, store.processes.id, self.runner.holdings)).jobs

    async def until_done(self, job_id: str, *, state: str = "completed") -> None:
        """Wait until the job is in `state`."""
        with anyio.fail_after(60):
            while (await self.store.get(job_id)).state != state:
                await anyio.sleep(0.01)


async def nobody(user_id: str) -> Principal | None:
    return None


@asynccontextmanager
async def job_process(
    mongo: Mongo,
    actors: Sequence[Actor] | Callable[[MongoJobStore], Sequence[Actor]],
    *,
    find_principal: Callable[[str], Awaitable[Principal | None]] = nobody,
    running: bool = True,
    with_feed: bool = False,
    queues: Sequence[Queue] = (),
    schedules: Sequence[Schedule] = (),
    clock: Clock | None = None,
) -> AsyncIterator[TestProcess]:
    """`running`: the runner claims jobs by itself; `with_feed`: the change stream wakes it."""
    await with_indexes(mongo, {**INDEXES, **AUDIT_INDEXES})
    codec = Codec((), sealer=Sealer(["a secret of tests"]))
    store = MongoJobStore(mongo, codec, clock or SystemClock(), queues=queues, schedules=schedules)
    made = actors(store) if callable(actors) else actors
    codec.add(declared.message for actor in made for declared in actor.handlers().values())
    store.queues.declare_plain(codec.queues())
    system = System(made, transactions=MongoTransactions(mongo), jobs=store, audit_log=AuditLog(mongo))
    runner = JobRunner(store, system, find_principal=find_principal)
    async with anyio.create_task_group() as tasks, system.running(grace_seconds=5):
        if with_feed:
            feed = ChangeFeed(mongo)
            follow_jobs(feed, runner)
            tasks.start_soon(feed.run)
            await feed.started.wait()
        if running:
            tasks.start_soon(runner.run)
        try:
            yield TestProcess(mongo, system, store, runner)
        finally:
            with anyio.CancelScope(shield=True):
                await runner.stop(5)
            tasks.cancel_scope.cancel()


class SteppedClock(SystemClock):
    """A clock that stands still until the test moves it: with `drain`, what is due by it runs."""

    def __init__(self) -> None:
        self._now = super().now()

    def now(self) -> datetime:
        return self._now

    def advance(self, **span: float) -> None:
        """`advance(hours=1)`"""
        self._now += timedelta(**span)
