"""Looking at jobs and acting on them, for operators and owners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from promptforge.core.errors import Conflict, NotFound
from promptforge.core.jobs.dependents import Dependents
from promptforge.core.jobs.documents import BATCHES, JOBS, OVER, Job, expiry, job_from
from promptforge.core.jobs.queues import QueueRegistry
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.jobs.signals import Signals
from promptforge.core.jobs.states import FINAL_STATES, LIVE_STATES, JobState
from promptforge.core.mongo import Document, Mongo, Session, run_transaction
from promptforge.core.pages import Cursor, Page, page_of

BULK_AT_ONCE = 500
BULK_MOST = 10_000
KEEP_CANCELLED = timedelta(hours=24)
COUNT_MOST = 1_000_000
"""Counting stops here: a number this large is shown as it is."""
COUNTED_STATES = (JobState.WAITING, JobState.AVAILABLE, JobState.RUNNING, JobState.DEAD)


class Action(StrEnum):
    RETRY = "retry"
    CANCEL = "cancel"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """`changed` of the `matched` jobs; `more` where there are more than one call changes (10,000)."""

    matched: int
    changed: int
    more: bool


@dataclass(frozen=True, slots=True)
class QueueStats:
    """How full a queue is. `oldest_seconds`: how long the first due job has been waiting, 0.0 for none."""

    queue: str
    counts: Mapping[JobState, int]
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class BatchStatus:
    id: str
    total: int
    counts: Mapping[JobState, int]
    done: bool
    owner_id: str | None
    created_at: datetime
    finished_at: datetime | None


Record = Callable[[Session, int], Awaitable[None]]
"""Called in the transaction that changes jobs, with their number; not where there are none."""


class Console:
    """Every method is safe in any process; what concerns a running job reaches its process by the change stream."""

    def __init__(self, mongo: Mongo, queues: QueueRegistry, clock: ServerClock, dependents: Dependents) -> None:
        self._mongo = mongo
        self._jobs = mongo.collection(JOBS)
        self._batches = mongo.collection(BATCHES)
        self._queues = queues
        self._clock = clock
        self._dependents = dependents
        self._signals = Signals(mongo, clock)

    # Looking

    async def get(self, job_id: str, *, owner_id: str | None = None) -> Job:
        """One job; with `owner_id` only that owner's. Raises `NotFound`."""
        row = await self._jobs.find_one(_one(job_id, owner_id))
        if row is None:
            raise NotFound("There is no such job, or it is not yours")
        return job_from(row)

    async def list_page(self, filters: Mapping[str, Any], cursor: Cursor | None, limit: int) -> Page[Job]:
        """Newest first; `filters` are equality filters on document fields, and ranges of `created_at`."""
        parts: list[Mapping[str, Any]] = [filters]
        if "state" in filters and "queue" not in filters:  # the index is by state and queue, then by time
            parts.append({"queue": {"$in": list(self._queues.names)}})
        if cursor is not None:
            parts.append(cursor.after())
        rows = self._jobs.find({"$and": parts}, {"payload": 0}).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, job_from)

    async def list_some(self, job_ids: Sequence[str], *, session: Session | None = None) -> list[Job]:
        """Those of these jobs that there are, whoever asks, without their payloads."""
        rows = self._jobs.find({"_id": {"$in": list(job_ids)}}, {"payload": 0, "result": 0}, session=session)
        return [job_from(row) for row in await rows.to_list(len(job_ids))]

    async def stats(self) -> list[QueueStats]:
        """Per queue: how many in each state that somebody has to care about, and the age of the oldest due job."""
        return [await self.queue_stats(queue) for queue in self._queues.names]

    async def queue_stats(self, queue: str) -> QueueStats:
        counts = {state: await self._count(queue, state) for state in COUNTED_STATES}
        oldest = await self.oldest_seconds(queue) if counts[JobState.AVAILABLE] else 0.0
        return QueueStats(queue, counts, oldest)

    async def _count(self, queue: str, state: JobState) -> int:
        if state is JobState.AVAILABLE:
            wanted: Document = {**self._lanes(queue), "due_at": {"$exists": True}}
        else:
            wanted = {"state": state.value, "queue": queue}
        return await self._jobs.count_documents(wanted, limit=COUNT_MOST)

    def _lanes(self, queue: str) -> Document:
        fair = {"lane": {"$gte": f"{queue}/", "$lt": f"{queue}0"}}
        return fair if self._queues[queue].fair else {"lane": queue}

    async def oldest_seconds(self, queue: str) -> float:
        """How long the first due job of `queue` has been waiting; 0.0 where none is."""
        now = self._clock.now()
        due = {**self._lanes(queue), "due_at": {"$lte": now}}
        row = await self._jobs.find_one(due, {"due_at": 1}, sort=[("lane", 1), ("priority", 1), ("due_at", 1)])
        return 0.0 if row is None else float((now - row["due_at"]).total_seconds())

    async def batch(self, batch_id: str, *, owner_id: str | None = None) -> BatchStatus:
        """Raises `NotFound`."""
        row = await self._batches.find_one(_one(batch_id, owner_id))
        if row is None:
            raise NotFound("There is no such batch, or it is not yours")
        counts = self._jobs.aggregate(
            [{"$match": {"batch_id": batch_id}}, {"$group": {"_id": "$state", "number": {"$sum": 1}}}]
        )
        return BatchStatus(
            id=batch_id,
            total=row["total"],
            counts={JobState(count["_id"]): count["number"] for count in await counts.to_list(None)},
            done=row["state"] == "done",
            owner_id=row.get("owner_id"),
            created_at=row["created_at"],
            finished_at=row.get("finished_at"),
        )

    # Acting

    async def retry(self, job_id: str, *, owner_id: str | None = None, record: Record | None = None) -> Job:
        """A dead or cancelled job runs again from its first attempt, its errors kept; a scheduled one runs now.

        Raises `NotFound`, or `Conflict` where it waits, runs or has completed.
        """
        await self._act(Action.RETRY, job_id, owner_id, record)
        return await self.get(job_id)

    async def cancel(self, job_id: str, *, owner_id: str | None = None, record: Record | None = None) -> Job:
        """A job that has not started ends at once; a running one is interrupted by the process that runs it.

        Raises `NotFound`, or `Conflict` where it has ended.
        """
        await self._act(Action.CANCEL, job_id, owner_id, record)
        return await self.get(job_id)

    async def discard(self, job_id: str, *, owner_id: str | None = None, record: Record | None = None) -> Job:
        """A dead job is put aside as cancelled. Raises `NotFound`, or `Conflict` where it is not dead."""
        await self._act(Action.DISCARD, job_id, owner_id, record)
        return await self.get(job_id)

    async def _act(self, action: Action, job_id: str, owner_id: str | None, record: Record | None) -> None:
        job = await self.get(job_id, owner_id=owner_id)
        if not await self._apply(action, [job_id], record):
            raise Conflict(f"The job is {job.state.value}; it is {_REFUSALS[action]}")

    async def bulk(self, action: Action, filters: Mapping[str, Any], *, record: Record | None = None) -> BulkOutcome:
        """The same on every job that `filters` match and whose state allows it, 10,000 at most in one call."""
        states = sorted(state.value for state in _FROM[action])
        wanted = {"$and": [filters, {"state": {"$in": states}}, {"queue": {"$in": list(self._queues.names)}}]}
        matched = changed = 0
        last = ""
        while matched < BULK_MOST:
            following = {"$and": [wanted, {"_id": {"$gt": last}}]}
            rows = (
                await self._jobs.find(following, {"_id": 1})
                .sort([("_id", 1)])
                .limit(BULK_AT_ONCE)
                .to_list(BULK_AT_ONCE)
            )
            if not rows:
                return BulkOutcome(matched, changed, more=False)
            matched += len(rows)
            last = rows[-1]["_id"]
            changed += await self._apply(action, [row["_id"] for row in rows], record)
        return BulkOutcome(matched, changed, more=True)

    async def _apply(self, action: Action, ids: list[str], record: Record | None) -> int:
        """One transaction, in which those who wait for these jobs are cancelled with them, and `record` is called."""
        batches: set[str] = set()

        async def work(session: Session) -> int:
            if action is Action.RETRY:
                changed = await self._retry({"_id": {"$in": ids}}, self._clock.now(), session)
            else:
                changed = await self._end(action, ids, batches, session)
            if changed and record is not None:
                await record(session, changed)
            return changed

        changed = await run_transaction(self._mongo, work)
        await self._dependents.check_batches(batches)
        return changed

    async def _end(self, action: Action, ids: list[str], batches: set[str], session: Session) -> int:
        """Cancel or discard; adds to `batches` those that lost a job by it."""
        chosen: Document = {"_id": {"$in": ids}}
        now = self._clock.now()
        ended = {"state": JobState.CANCELLED.value, "finished_at": now, **expiry(now, KEEP_CANCELLED)}
        ending = [JobState.DEAD] if action is Action.DISCARD else [JobState.AVAILABLE, JobState.WAITING]
        over = {**chosen, "state": {"$in": [state.value for state in ending]}}
        rows = await self._jobs.find(over, {"_id": 1, "batch_id": 1}, session=session).to_list(len(ids))
        gone = {"due_at": "", "waits_for": "", **OVER}
        written = await self._jobs.update_many(over, {"$set": ended, "$unset": gone}, session=session)
        await self._dependents.release([row["_id"] for row in rows], JobState.CANCELLED, session)
        batches.update(row["batch_id"] for row in rows if row.get("batch_id"))
        if action is Action.DISCARD:
            return written.modified_count
        running = {**chosen, "state": JobState.RUNNING.value}
        asked = await self._jobs.update_many(running, {"$set": {"cancel_requested": True}}, session=session)
        if asked.matched_count:
            await self._signals.cancelled(ids, session)
        return written.modified_count + asked.matched_count

    async def _retry(self, chosen: Document, now: datetime, session: Session) -> int:
        fresh = {"state": JobState.AVAILABLE.value, "run_at": now, "due_at": now, "attempt": 0, "lost": 0}
        gone = {"finished_at": "", "expire_at": "", "cancel_requested": "", "progress": "", "progress_message": ""}
        ended = {**chosen, "state": {"$in": [JobState.DEAD.value, JobState.CANCELLED.value]}}
        written = await self._jobs.update_many(ended, {"$set": fresh, "$unset": gone}, session=session)
        scheduled = {**chosen, "state": JobState.AVAILABLE.value, "due_at": {"$gt": now}}
        sooner = await self._jobs.update_many(scheduled, {"$set": {"run_at": now, "due_at": now}}, session=session)
        changed = written.modified_count + sooner.modified_count
        if changed:
            await self._signals.work(session)
        return changed

    # For the runner

    async def to_be_cancelled(self, process: str) -> list[str]:
        """Running jobs of `process` that somebody cancelled."""
        wanted = {"state": JobState.RUNNING.value, "process": process, "cancel_requested": True}
        return [row["_id"] for row in await self._jobs.find(wanted, {"_id": 1}).to_list(None)]

    async def note_progress(self, job: Job, percent: float, message: str | None) -> None:
        fields = {"progress": percent, "progress_message": message}
        held = {"_id": job.id, "state": JobState.RUNNING.value, "claim": job.claim}
        await self._jobs.update_one(held, {"$set": fields})


_REFUSALS = {
    Action.RETRY: "waiting, running or completed already: it cannot be retried",
    Action.CANCEL: "over already: there is nothing to cancel",
    Action.DISCARD: "not dead: only dead jobs are discarded",
}
_FROM: dict[Action, frozenset[JobState]] = {
    Action.RETRY: frozenset({JobState.AVAILABLE, *FINAL_STATES} - {JobState.COMPLETED}),
    Action.CANCEL: LIVE_STATES,
    Action.DISCARD: frozenset({JobState.DEAD}),
}


def _one(identifier: str, owner_id: str | None) -> Document:
    return {"_id": identifier} if owner_id is None else {"_id": identifier, "owner_id": owner_id}
