"""Runs this process's share of the jobs: claims what is due, hands each to its actor, and says how it ended.

A job's failure is the job's; the runner itself waits out a missing database and goes on. There is no task per job: an
actor's worker answers to the run, which frees its slot and starts the next. It stops by finishing what it runs within
the grace period and handing back the rest.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import anyio
import structlog

from promptforge.core.context import JobInfo
from promptforge.core.errors import DATABASE_AWAY, PromptForgeError, Stopping, Unauthenticated
from promptforge.core.jobs.claims import LARGEST_CLAIM
from promptforge.core.jobs.documents import Job
from promptforge.core.jobs.endings import MAX_UNWRITTEN, Ending
from promptforge.core.jobs.holdings import Holdings
from promptforge.core.jobs.lanes import Lane
from promptforge.core.jobs.outcomes import JobCancelled
from promptforge.core.jobs.runs import Run
from promptforge.core.jobs.standing import FindPrincipal, Standing
from promptforge.core.jobs.store import MongoJobStore
from promptforge.core.jobs.telemetry import Outcome
from promptforge.core.jobs.upkeep import Upkeep
from promptforge.core.jobs.verdicts import verdict_of
from promptforge.core.messages import Access, Message
from promptforge.core.principal import Principal
from promptforge.core.runtime import System

POLL_SECONDS = 1.0
"""The safety net beside the wake-ups and the timer for the next job that is due."""
LIMITED_POLL_SECONDS = 0.1
"""How soon a queue is looked at again whose limit kept jobs waiting: other processes free its slots too."""
LEAST_PAUSE_SECONDS = 0.005
PROGRESS_SECONDS = 0.5
INTERRUPT_SECONDS = 2.0
FINAL_WRITE_SECONDS = 5.0

log = structlog.get_logger(__name__)


class JobRunner:
    """`find_principal` reads a stored principal again when its job runs: rights may have changed since."""

    def __init__(
        self, store: MongoJobStore, system: System, *, find_principal: FindPrincipal, rng: Random | None = None
    ) -> None:
        self._store = store
        self._system = system
        self._find_principal = find_principal
        self._rng = rng or Random()  # noqa: S311  # jitter only
        self._lanes = {queue.name: Lane(queue) for queue in store.queues.all()}
        self._wake = anyio.Event()
        self._runs: set[Run] = set()
        """A job can be here twice: lost to another process, which failed it, and claimed again."""
        self.holdings = Holdings()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._stopping = False
        self._stopped = anyio.Event()
        self._no_runs = anyio.Event()
        self.upkeep = Upkeep(store, system, self.holdings, self)
        self.standing = Standing(lambda: self._runs, find_principal)
        store.endings.on_written = self._settled
        store.queues.on_refreshed = self._take_over_queues
        store.enqueuer.worker = self

    # What the enqueuer wants to know (see LocalWorker)

    @property
    def process(self) -> str:
        return self._store.processes.id

    def wake(self, queue: str) -> None:
        """There may be something to claim in `queue`."""
        lane = self._lanes.get(queue)
        if lane is not None:
            lane.hungry = True
            self._wake.set()

    def wake_all(self) -> None:
        """There may be something to claim anywhere."""
        for lane in self._lanes.values():
            lane.hungry = True
        self._wake.set()

    def has_room(self, queue: str) -> bool:
        lane = self._lanes.get(queue)
        running = self._tasks is not None and not self._stopping
        return running and lane is not None and lane.idle and not self.holdings.crowded

    def reserve(self, queue: str, number: int) -> None:
        self._lanes[queue].reserved += number

    def expect(self, claim: str) -> None:
        self.holdings.expect(claim)

    def adopt(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._hold(job)
        for name in {job.queue for job in jobs}:
            self._fill(self._lanes[name])

    # Life

    async def run(self) -> None:
        """Claim and run until `stop`; heart-beat, rescue, write endings and fire schedules beside it."""
        await self._patiently(self._store.processes.register)
        await self._patiently(self._store.queues.refresh)
        await self._patiently(self._store.schedules.start)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            upkeep = self.upkeep
            beside = (upkeep.beat, upkeep.fire_schedules, self.standing.watch, self._write_progress)
            for loop in (self._store.endings.run, *beside):
                tasks.start_soon(loop)
            while not self._stopping:
                self._wake = anyio.Event()
                pause = await self._claim()
                if pause and not self._stopping:
                    with anyio.move_on_after(pause):
                        await self._wake.wait()
            await self._stopped.wait()
            self._tasks = None  # who still hears of changes begins nothing here any more
            tasks.cancel_scope.cancel()

    async def drain(self) -> int:
        """Run everything that is due, and what that enqueues, then come back; answers how many attempts that took.

        For tests and tools, instead of `run`: no heartbeat, no schedules.
        """
        attempts = 0
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._store.endings.run)
            while claimed := await self._claim_everything():
                attempts += claimed
                await self._until_no_runs()
                await self._store.endings.flush()
            self._tasks = None
            tasks.cancel_scope.cancel()
        return attempts

    async def _claim_everything(self) -> int:
        number = 0
        for lane in self._lanes.values():
            while jobs := (await self._store.claims.claim(lane.queue, LARGEST_CLAIM, self.process, self.holdings)).jobs:
                number += len(jobs)
                for job in jobs:
                    self._hold(job)
            self._fill(lane)
        return number

    async def stop(self, grace_seconds: float) -> None:
        """Claim nothing more, wait for what runs, hand back what is left, and take this process off the list."""
        self._stopping = True
        self._wake.set()
        ready = [job for lane in self._lanes.values() for job in lane.ready]
        for lane in self._lanes.values():
            lane.ready.clear()
        await self._finally(lambda: self._store.endings.hand_back(ready))
        with anyio.move_on_after(grace_seconds):
            await self._until_no_runs()
        for run in list(self._runs):
            run.interrupt(Stopping())
        with anyio.move_on_after(INTERRUPT_SECONDS):
            await self._until_no_runs()
        self._store.endings.stopping = True
        await self._finally(self._store.endings.flush)
        left = [run.job for run in self._runs]
        await self._finally(lambda: self._store.endings.hand_back(left))
        await self._finally(self._store.processes.leave)
        self._stopped.set()

    async def _finally(self, write: Callable[[], Awaitable[object]]) -> None:
        try:
            with anyio.move_on_after(FINAL_WRITE_SECONDS):
                await write()
        except DATABASE_AWAY as error:
            log.warning("jobs.not_handed_back", reason=str(error))  # the others rescue them

    async def _until_no_runs(self) -> None:
        while self._runs:
            self._no_runs = anyio.Event()
            await self._no_runs.wait()

    async def _patiently(self, do: Callable[[], Awaitable[object]]) -> None:
        while not self._stopping:
            try:
                await do()
            except DATABASE_AWAY as error:
                log.warning("jobs.not_started", reason=str(error))
                await anyio.sleep(POLL_SECONDS)
            else:
                return

    # Claiming

    async def _claim(self) -> float:
        """Start what can be claimed; answers the seconds until there may be more, 0.0 for at once."""
        try:
            if self._store.endings.unwritten >= MAX_UNWRITTEN:
                return LIMITED_POLL_SECONDS
            claimed = False
            limited = False
            polled_before = self._system.monotonic() - POLL_SECONDS
            for lane in self._lanes.values():
                lane.hungry = lane.hungry or (lane.is_polled and lane.asked_at <= polled_before)
                if lane.hungry and not lane.queue.paused and (wanted := lane.wanted()) > 0:
                    claimed |= await self._claim_for(lane, wanted)
                limited |= lane.queue.limited and lane.hungry
            if claimed:
                return 0.0
            return LIMITED_POLL_SECONDS if limited else await self._pause()
        except DATABASE_AWAY as error:
            log.warning("jobs.claim_failed", reason=str(error))
            return POLL_SECONDS

    async def _claim_for(self, lane: Lane, wanted: int) -> bool:
        """True where it is worth asking again at once."""
        lane.asked_at = self._system.monotonic()
        lane.hungry = False  # a wake-up that comes while we ask must not be lost
        claimed = await self._store.claims.claim(lane.queue, wanted, self.process, self.holdings)
        lane.hungry = lane.hungry or claimed.more
        for job in claimed.jobs:
            self._hold(job)
        self._fill(lane)
        return bool(claimed.jobs)

    async def _pause(self) -> float:
        """Until the next job is due, as far as this process has room for it."""
        open_lanes = [lane for lane in self._lanes.values() if not lane.queue.paused and lane.wanted() > 0]
        polled = [lane.asked_at for lane in open_lanes if lane.is_polled]
        longest = min(polled, default=math.inf) + POLL_SECONDS - self._system.monotonic()
        longest = min(max(longest, LEAST_PAUSE_SECONDS), POLL_SECONDS)
        plain = [lane for lane in open_lanes if not lane.is_polled]
        if not plain:
            return longest
        seconds = await self._store.claims.seconds_to_next([lane.queue.name for lane in plain])
        if seconds <= POLL_SECONDS:
            for lane in plain:
                lane.hungry = True
        return max(LEAST_PAUSE_SECONDS, min(longest, seconds))

    def _hold(self, job: Job) -> None:
        self.holdings.hold(job)
        self._lanes[job.queue].ready.append(job)

    def _settled(self, endings: Sequence[Ending]) -> None:
        for ending in endings:
            self.holdings.let_go(ending.job)

    # Running

    def _fill(self, lane: Lane) -> None:
        """Start what is held ready, as far as there are slots. Jobs that end at once come back here: no recursion."""
        if lane.filling:
            return
        lane.filling = True
        try:
            while lane.ready and lane.has_slot and not self._stopping:
                self._start(lane.ready.popleft(), lane)
        finally:
            lane.filling = False
        if lane.hungry and not self._wake.is_set() and lane.wanted():
            self._wake.set()

    def _start(self, job: Job, lane: Lane) -> None:
        lane.running += 1
        store = self._store
        kind = store.codec.message_type(job.kind)
        run = Run(
            job,
            lane,
            store.codec.policy(job.kind),
            self._system.monotonic(),
            endings=store.endings,
            encode=lambda result: None if kind is None else store.codec.encode_result(kind, result),
            finished=self._finished,
        )
        self._runs.add(run)
        if job.cancel_requested:
            run.fail(JobCancelled())
            return
        try:
            message = store.codec.decode(job.kind, job.version, job.payload)
        except PromptForgeError as error:
            run.fail(error)
            return
        if job.principal_id is None:
            self._submit(run, message, None)
        elif self._tasks is not None:
            self._tasks.start_soon(self._submit_for_principal, run, message)

    async def _submit_for_principal(self, run: Run, message: Message[object]) -> None:
        """Internal messages are the service's own; any other is sent as whoever enqueued it, with today's rights."""
        try:
            principal = await self._principal_for(run.job, message)
        except DATABASE_AWAY:
            run.fail(Stopping())  # not its fault: handed back
        except Exception as error:  # noqa: BLE001  # whatever is wrong with its principal is wrong with this job only
            run.fail(error)
        else:
            self._submit(run, message, principal)

    async def _principal_for(self, job: Job, message: Message[object]) -> Principal | None:
        principal = await self._find_principal(job.principal_id or "")
        requirement = message.requirement
        if principal is None and requirement is not None and requirement.access is Access.SIGNED_IN:
            raise Unauthenticated("Whoever enqueued this job is no longer there")
        return principal

    def _submit(self, run: Run, message: Message[object], principal: Principal | None) -> None:
        job = run.job
        context = self._system.context(
            request_id=job.request_id,
            trace_id=job.trace_id,
            principal=principal,
            timeout_seconds=math.inf,  # counted from when a worker takes it up
            trusted=True,
            job=JobInfo(job.id, job.attempt, job.snoozed),
        )
        context.job_handle = run
        run.principal = principal
        try:
            self._system.submit(message, context, run)
        except PromptForgeError as error:
            run.fail(error)

    def _finished(self, run: Run) -> None:
        """The worker has answered, or it was never asked."""
        job, lane = run.job, run.lane
        elapsed = self._system.monotonic() - run.started_at
        lane.running -= 1
        lane.ran(elapsed)
        self._runs.discard(run)
        if not self._runs:
            self._no_runs.set()
        stats = self._store.telemetry.kind(job.kind)
        stats.run.add(elapsed)
        if job.started_at is not None:
            stats.wait.add(max((job.started_at - max(job.run_at, job.created_at)).total_seconds(), 0.0))
        if run.completed_in_transaction:
            stats.outcomes[Outcome.COMPLETED] += 1
            self.holdings.let_go(job)
            if job.batch_id is not None:
                self._store.endings.ended_in_batch(job.batch_id)
        else:
            verdict = verdict_of(run, self._store, self._rng)
            stats.outcomes[verdict.outcome] += 1
            if verdict.ending is not None:
                self._store.endings.add(verdict.ending)
            else:
                self.holdings.let_go(job)
        if lane.queue.limited:
            lane.hungry = True
        self._fill(lane)

    def cancel(self, job_id: str) -> None:
        """The job is to be cancelled; does nothing where this process does not run it."""
        for run in [run for run in self._runs if run.job.id == job_id]:
            run.interrupt(JobCancelled())
        for lane in self._lanes.values():
            for job in lane.ready:
                if job.id == job_id:
                    job.cancel_requested = True

    # Beside it

    def lease_lost(self) -> None:
        """Others have our jobs by now: stop running them. What they still write is refused by the fence."""
        log.error("jobs.lease_lost", running=len(self._runs))
        for lane in self._lanes.values():
            for job in lane.ready:
                self.holdings.let_go(job)
            lane.ready.clear()
        for run in list(self._runs):
            run.interrupt(Stopping("This process was taken for dead, and another one has the job"))

    def refresh_queues(self) -> None:
        """An operator changed a queue: read them again, soon."""
        if self._tasks is not None:
            self._tasks.start_soon(self.upkeep.refresh_queues)

    def _take_over_queues(self) -> None:
        for lane in self._lanes.values():
            current = self._store.queues[lane.queue.name]
            if current != lane.queue:
                lane.queue = current
                self.wake(current.name)

    async def _write_progress(self) -> None:
        while True:
            await anyio.sleep(PROGRESS_SECONDS)
            for run in [run for run in self._runs if run.progress is not None]:
                (percent, message), run.progress = run.progress or (0.0, None), None
                try:
                    await self._store.console.note_progress(run.job, percent, message)
                except DATABASE_AWAY:
                    break
                except Exception:  # a text that cannot be stored must not end the progress of all others
                    log.exception("job.progress_not_written", job_id=run.job.id, kind=run.job.kind)
