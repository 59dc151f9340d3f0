"""How jobs end: every write to a running job, fenced by the claim that started it, and what follows from it.

Plain completions are gathered: while one write is under way the next ones wait for it and then go together, one write
per claim. Whatever else can happen to a job (a failure, a snooze, a job that others wait for) is written by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import anyio
import structlog

from promptforge.core.errors import DATABASE_AWAY
from promptforge.core.jobs.dependents import Dependents
from promptforge.core.jobs.documents import BY_ID, JOBS, KEPT_ERRORS, OVER, RELEASED, Job, expiry
from promptforge.core.jobs.outcomes import ClaimLost
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.jobs.states import FINAL_STATES, JobState
from promptforge.core.mongo import Document, Mongo, Session, run_transaction

MAX_UNWRITTEN = 5000
"""With so many endings waiting to be written nothing more is claimed."""
MOST_AT_ONCE = 1000
MOST_RESULTS_AT_ONCE = 100
"""Results go into one command together; each is 64 KiB at most, and a command 16 MiB."""
FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 5.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """What to write about one attempt.

    `keep` is for the final states; without `attempt_counts` the attempt is given back.
    """

    job: Job
    state: JobState
    keep: timedelta | None = None
    result: Any = None
    run_at: datetime | None = None
    error: str | None = None
    detail: str = ""
    attempt_counts: bool = True
    snoozed: bool = False

    @property
    def plain(self) -> bool:
        return self.state is JobState.COMPLETED


def _nobody(endings: Sequence[Ending]) -> None:
    """Nobody wants to know."""


def _parts(group: list[Ending]) -> list[list[Ending]]:
    if all(ending.result is None for ending in group):
        return [group]
    return [group[start : start + MOST_RESULTS_AT_ONCE] for start in range(0, len(group), MOST_RESULTS_AT_ONCE)]


class Endings:
    """`add` never waits; `run` writes what was added, for ever; `flush` waits until all of it is written."""

    def __init__(self, mongo: Mongo, clock: ServerClock, dependents: Dependents) -> None:
        self._mongo = mongo
        self._jobs = mongo.collection(JOBS)
        self._clock = clock
        self._dependents = dependents
        self._waiting: list[Ending] = []
        self._batches: set[str] = set()
        self._writing = 0
        self._more = anyio.Event()
        self._all_written = anyio.Event()
        self.stopping = False
        """Set at the end of the process: what MongoDB does not take now is left to the rescue."""
        self.on_written: Callable[[Sequence[Ending]], None] = _nobody
        """Told which endings are settled: written, or known to be no longer ours to write."""

    @property
    def unwritten(self) -> int:
        return len(self._waiting) + self._writing + len(self._batches)

    def add(self, ending: Ending) -> None:
        self._waiting.append(ending)
        self._more.set()

    def ended_in_batch(self, batch_id: str) -> None:
        """A job of this batch has ended in a transaction of its own."""
        self._batches.add(batch_id)
        self._more.set()

    async def run(self) -> None:
        while True:
            if not self._waiting and not self._batches:
                self._more = anyio.Event()
                await self._more.wait()
            taken, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            self._writing = len(taken)
            with anyio.CancelScope(shield=True):  # what ended must not run again because the process is stopping
                await self._write(taken)
                batches = set(self._batches)
                if batches:
                    await self._persistently(self._dependents.check_batches, batches)
            self._batches -= batches
            self._writing = 0
            self.on_written(taken)
            if not self._waiting:
                self._all_written.set()

    async def flush(self) -> None:
        """Wait until everything added so far is written."""
        while self.unwritten:
            self._all_written = anyio.Event()
            await self._all_written.wait()

    async def _write(self, endings: list[Ending]) -> None:
        groups: dict[tuple[str | None, timedelta | None], list[Ending]] = {}
        async with anyio.create_task_group() as tasks:
            for ending in endings:
                if ending.plain:
                    groups.setdefault((ending.job.claim, ending.keep), []).append(ending)
                else:
                    tasks.start_soon(self._persistently, self.write_one, ending)
            for group in groups.values():
                for part in _parts(group):
                    tasks.start_soon(self._persistently, self._complete_group, part)

    async def _persistently(self, write: Callable[[T], Awaitable[object]], what: T) -> None:
        """While MongoDB is away the ending waits here, and with it the slot."""
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                await write(what)
            except DATABASE_AWAY as error:  # the fence makes a second writing harmless
                if self.stopping:
                    log.warning("jobs.endings_not_written", reason=str(error))
                    return
            except Exception:  # one job's ending must not keep those of all others from being written
                log.exception("jobs.ending_refused")
                return
            else:
                return
            await anyio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_SECONDS)

    # Completions, many at once

    async def _complete_group(self, endings: list[Ending]) -> None:
        """All of one claim and one retention."""
        try:
            await self._complete_together(endings)
        except DATABASE_AWAY:
            raise
        except Exception:  # one result that MongoDB refuses must not keep the others from being written
            log.exception("jobs.completions_refused", count=len(endings))
            for ending in endings:
                await self._persistently(self._complete_alone, ending)

    async def _complete_alone(self, ending: Ending) -> None:
        try:
            await self.write_one(ending)
        except DATABASE_AWAY:
            raise
        except Exception:
            log.exception("job.result_not_kept", kind=ending.job.kind, job_id=ending.job.id)
            await self.write_one(replace(ending, result=None))

    async def _complete_together(self, endings: list[Ending]) -> None:
        """Those with dependents are left over, and so are those we lost."""
        now = self._clock.now()
        ids = [ending.job.id for ending in endings]
        claim = endings[0].job.claim
        fence: Document = {
            "_id": {"$in": ids},
            "state": JobState.RUNNING.value,
            "claim": claim,
            "has_dependents": {"$exists": False},
        }
        fields: Document = {"state": JobState.COMPLETED.value, "finished_at": now, **expiry(now, endings[0].keep)}
        results = [ending.result for ending in endings]
        if all(result is None for result in results):
            written = await self._jobs.update_many(fence, {"$set": fields, "$unset": {**RELEASED, **OVER}}, hint=BY_ID)
        else:
            own = {"$arrayElemAt": [{"$literal": results}, {"$indexOfArray": [{"$literal": ids}, "$_id"]}]}
            written = await self._jobs.update_many(
                fence, [{"$set": {**fields, "result": own}}, {"$unset": [*RELEASED, *OVER]}], hint=BY_ID
            )
        if written.modified_count < len(ids):
            await self._complete_left_over(endings, claim)
        await self._dependents.check_batches({ending.job.batch_id for ending in endings if ending.job.batch_id})

    async def _complete_left_over(self, endings: list[Ending], claim: str | None) -> None:
        by_id = {ending.job.id: ending for ending in endings}
        ours = {"_id": {"$in": list(by_id)}, "state": JobState.RUNNING.value, "claim": claim}
        for row in await self._jobs.find(ours, {"_id": 1}).to_list(len(by_id)):
            await self.write_one(by_id[row["_id"]])

    # One at a time

    async def write_one(self, ending: Ending) -> bool:
        """False where the claim is no longer ours: nothing was written then."""
        if ending.state not in FINAL_STATES:
            written = await self._jobs.update_one(*self._update(ending))
            return bool(written.modified_count)

        async def work(session: Session) -> bool:
            return await self._end(ending, session)

        written_here = await run_transaction(self._mongo, work)
        if not written_here:
            log.warning("job.claim_lost", job_id=ending.job.id, kind=ending.job.kind)
        elif ending.job.batch_id:
            await self._dependents.check_batches({ending.job.batch_id})
        return written_here

    async def complete_in(self, job: Job, keep: timedelta | None, result: Any, session: Session) -> None:
        """Complete in the handler's own transaction. Raises `ClaimLost`, which aborts it."""
        if not await self._end(Ending(job, JobState.COMPLETED, keep=keep, result=result), session):
            raise ClaimLost

    async def _end(self, ending: Ending, session: Session) -> bool:
        row = await self._jobs.find_one_and_update(
            *self._update(ending), projection={"has_dependents": 1}, session=session
        )
        if row is None:
            return False
        if row.get("has_dependents"):
            await self._dependents.release([ending.job.id], ending.state, session)
        return True

    def _update(self, ending: Ending) -> tuple[Document, Document]:
        job, now = ending.job, self._clock.now()
        fields: Document = {"state": ending.state.value}
        final = ending.state in FINAL_STATES
        if not final:
            fields["run_at"] = fields["due_at"] = ending.run_at or now
        else:
            fields.update(finished_at=now, **expiry(now, ending.keep))
        if ending.result is not None:
            fields["result"] = ending.result
        update: Document = {"$set": fields, "$unset": {**RELEASED, **(OVER if final else {})}}
        increments = {"attempt": 0 if ending.attempt_counts else -1, "snoozed": int(ending.snoozed)}
        if any(increments.values()):
            update["$inc"] = {field: number for field, number in increments.items() if number}
        if ending.error is not None:
            error = {"attempt": job.attempt, "at": now, "error": ending.error, "detail": ending.detail[:500]}
            update["$push"] = {"errors": {"$each": [error], "$slice": -KEPT_ERRORS}}
        return {"_id": job.id, "state": JobState.RUNNING.value, "claim": job.claim}, update

    async def hand_back(self, jobs: Iterable[Job], *, delay_seconds: float = 0.0) -> int:
        """Running → available at once, without counting the attempt: what was claimed and never started."""
        by_claim: dict[str | None, list[str]] = {}
        for job in jobs:
            by_claim.setdefault(job.claim, []).append(job.id)
        run_at = self._clock.now() + timedelta(seconds=delay_seconds)
        number = 0
        for claim, ids in by_claim.items():
            written = await self._jobs.update_many(
                {"_id": {"$in": ids}, "state": JobState.RUNNING.value, "claim": claim},
                {
                    "$set": {"state": JobState.AVAILABLE.value, "run_at": run_at, "due_at": run_at},
                    "$unset": RELEASED,
                    "$inc": {"attempt": -1},
                },
                hint=BY_ID,
            )
            number += written.modified_count
        return number
