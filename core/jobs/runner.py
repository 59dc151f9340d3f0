"""Runs this process's share of the jobs: claims what is due, hands each to its actor, writes down how it ended.

A job's failure is the job's; the runner itself waits out a missing database and goes on. It stops by finishing what it
runs within the grace period and handing back the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import anyio
import structlog

from promptforge.core.context import Context, JobInfo
from promptforge.core.errors import (
    MailboxFull,
    OutcomeUnknown,
    PromptForgeError,
    Stopping,
    Unauthenticated,
    Unavailable,
)
from promptforge.core.jobs.codec import Codec, UndecodablePayload, UnknownKind, encode_result
from promptforge.core.jobs.documents import Job
from promptforge.core.jobs.retries import backoff_seconds
from promptforge.core.jobs.store import MongoJobStore
from promptforge.core.messages import Access, Message
from promptforge.core.principal import Principal
from promptforge.core.runtime import System

QUEUES = ("default",)
HEARTBEAT_SECONDS = 5.0
POLL_SECONDS = 1.0
"""The safety net beside the wake-ups and the timer for the next job that is due."""
LEAST_PAUSE_SECONDS = 0.005
ATTEMPT_SECONDS = 60.0
UNKNOWN_KIND_SECONDS = 30.0
OVERLOAD_SECONDS = 0.5
FINAL_WRITE_SECONDS = 5.0
FIRST_WRITE_RETRY_SECONDS = 0.2
LAST_WRITE_RETRY_SECONDS = 5.0

log = structlog.get_logger(__name__)

FindPrincipal = Callable[[str], Awaitable[Principal | None]]


class JobRunner:
    """`find_principal` reads a stored principal again when its job runs: rights may have changed since."""

    def __init__(
        self,
        store: MongoJobStore,
        system: System,
        codec: Codec,
        *,
        find_principal: FindPrincipal,
        queues: Sequence[str] = QUEUES,
        concurrency: int = 32,
        rng: Random | None = None,
    ) -> None:
        self._store = store
        self._system = system
        self._codec = codec
        self._find_principal = find_principal
        self._queues = tuple(queues)
        self._free = concurrency
        self._rng = rng or Random()  # noqa: S311  # jitter only
        self._wake = anyio.Event()
        self._idle: anyio.Event | None = None
        self._running: dict[str, Job] = {}
        self._stopping = False
        store.wake = self.wake

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and run until `stop`; heart-beat and rescue beside it."""
        await self._first_beat()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._beat)
            while not self._stopping:
                self._wake = anyio.Event()
                pause = await self._claim_into(tasks)
                if pause and not self._stopping:
                    with anyio.move_on_after(pause):
                        await self._wake.wait()
            await self._until_idle()
            tasks.cancel_scope.cancel()

    async def stop(self, grace_seconds: float) -> None:
        """Claim nothing more, wait for what runs, hand back what is left, and take this process off the list."""
        self._stopping = True
        self.wake()
        with anyio.move_on_after(grace_seconds):
            await self._until_idle()
        try:
            with anyio.move_on_after(FINAL_WRITE_SECONDS):
                for job in list(self._running.values()):
                    await self._store.put_back(job)
                await self._store.leave()
        except Unavailable as error:
            log.warning("jobs.not_handed_back", reason=str(error))  # the others rescue them

    async def _until_idle(self) -> None:
        while self._running:
            if self._idle is None or self._idle.is_set():
                self._idle = anyio.Event()
            await self._idle.wait()

    async def _claim_into(self, tasks: anyio.abc.TaskGroup) -> float:
        """Start what can be claimed; answers the seconds until there may be more, 0.0 for at once."""
        claimed = 0
        try:
            for queue in self._queues:
                if self._free <= 0:
                    break
                jobs = await self._store.claim(queue, self._free)
                for job in jobs:
                    self._free -= 1
                    self._running[job.id] = job
                    tasks.start_soon(self._run_job, job)
                claimed += len(jobs)
            if self._free <= 0:
                pause = POLL_SECONDS  # whoever frees a slot wakes us
            elif claimed:
                pause = 0.0
            else:
                pause = max(LEAST_PAUSE_SECONDS, min(POLL_SECONDS, await self._store.seconds_to_next(self._queues)))
        except Unavailable as error:
            log.warning("jobs.claim_failed", reason=str(error))
            return POLL_SECONDS
        return pause

    async def _first_beat(self) -> None:
        """Be known as alive before claiming anything: else another process would rescue what was just claimed."""
        while not self._stopping:
            try:
                await self._store.heartbeat()
            except Unavailable as error:
                log.warning("jobs.heartbeat_failed", reason=str(error))
                await anyio.sleep(POLL_SECONDS)
            else:
                return

    async def _beat(self) -> None:
        while True:
            try:
                await self._store.heartbeat()
                if rescued := await self._store.rescue():
                    log.warning("jobs.rescued", count=rescued)
                    self.wake()
            except Unavailable as error:
                log.warning("jobs.heartbeat_failed", reason=str(error))
            await anyio.sleep(HEARTBEAT_SECONDS)

    async def _run_job(self, job: Job) -> None:
        try:
            await self._attempt(job)
        except Unavailable as error:
            # The outcome could not be written: the claim stays, and is rescued or rewritten when MongoDB is back.
            log.warning("job.outcome_not_written", job_id=job.id, kind=job.kind, reason=str(error))
        finally:
            del self._running[job.id]
            self._free += 1
            self.wake()
            if not self._running and self._idle is not None:
                self._idle.set()

    async def _attempt(self, job: Job) -> None:
        try:
            message = self._codec.decode(job.kind, job.version, job.payload)
            reply = await (await self._context(job, message)).ask(message)
        except (UnknownKind, UndecodablePayload, MailboxFull, Stopping) as error:
            await self._not_its_fault(job, error)
        except Exception as error:  # noqa: BLE001  # whatever the handler raises is the outcome of the attempt
            await self._failed(job, error)
        else:
            await self._write(job, lambda: self._store.complete(job, encode_result(reply)))

    async def _context(self, job: Job, message: Message[Any]) -> Context:
        """Internal messages are the service's own; any other is sent as whoever enqueued it, with today's rights."""
        requirement = message.requirement
        principal = await self._find_principal(job.principal_id) if job.principal_id else None
        if principal is None and requirement is not None and requirement.access is Access.SIGNED_IN:
            raise Unauthenticated("Whoever enqueued this job is no longer there")
        return self._system.context(
            request_id=job.request_id,
            trace_id=job.trace_id,
            principal=principal,
            timeout_seconds=ATTEMPT_SECONDS,
            trusted=True,
            job=JobInfo(job.id, job.attempt),
        )

    async def _not_its_fault(self, job: Job, error: PromptForgeError) -> None:
        if isinstance(error, UndecodablePayload):
            await self._write(job, lambda: self._store.bury(job, error=error.code, detail=error.detail))
            return
        delay = UNKNOWN_KIND_SECONDS if isinstance(error, UnknownKind) else OVERLOAD_SECONDS
        await self._write(job, lambda: self._store.put_back(job, delay_seconds=delay))

    async def _failed(self, job: Job, error: Exception) -> None:
        known = isinstance(error, PromptForgeError)
        final = job.attempt >= job.max_attempts
        delay = backoff_seconds(job.attempt, self._rng)
        if isinstance(error, PromptForgeError):
            name, detail = error.code, error.detail
            # A job runs at least once anyway, so what may or may not have happened is simply done again.
            final = final or not (error.retryable or isinstance(error, OutcomeUnknown))
            delay = max(delay, error.retry_after_seconds or 0.0)
        else:  # an exception's text may quote what it was working on: it goes to the log of this process only
            name, detail = type(error).__name__, "An unexpected error: see the log under this request id"
        log.warning(
            "job.failed",
            job_id=job.id,
            kind=job.kind,
            attempt=job.attempt,
            error=name,
            final=final,
            request_id=job.request_id,
            exc_info=None if known else error,
        )
        if final:
            await self._write(job, lambda: self._store.bury(job, error=name, detail=detail))
            return
        await self._write(job, lambda: self._store.retry(job, delay_seconds=delay, error=name, detail=detail))

    async def _write(self, job: Job, write: Callable[[], Awaitable[bool]]) -> None:
        """Write the outcome, shielded: a job that ended must not run again because the process is stopping.

        While MongoDB is away the outcome waits here, and with it the slot; at a stop it is left to the rescue.
        """
        delay = FIRST_WRITE_RETRY_SECONDS
        with anyio.CancelScope(shield=True):
            while True:
                try:
                    if not await write():
                        log.warning("job.claim_lost", job_id=job.id, kind=job.kind)
                    return
                except Unavailable:
                    if self._stopping:
                        raise
                await anyio.sleep(delay)
                delay = min(delay * 2, LAST_WRITE_RETRY_SECONDS)
