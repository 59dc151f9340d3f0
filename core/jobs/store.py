"""Every query on the `jobs` and `processes` collections.

Time is the server's: each write that compares or sets a moment uses the offset measured at the last heartbeat, so a
machine with a wrong clock claims, rescues and schedules like any other. Every write to a running job is fenced by the
claim that started it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from promptforge.core.clock import Clock
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.ids import new_id
from promptforge.core.jobs.codec import Codec
from promptforge.core.jobs.documents import JOBS, LIVE, PROCESSES, Job, JobState, job_from
from promptforge.core.jobs.retries import DEFAULT_MAX_ATTEMPTS
from promptforge.core.messages import Message
from promptforge.core.mongo import DuplicateKey, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of

STALE_AFTER_SECONDS = 20.0
"""A process whose heartbeat is older than this is taken for dead."""
MAX_LOST = 10
"""A job lost with its process this often is what kills the processes: it becomes dead, reason `poison`."""
KEPT_ERRORS = 5
KEEP_DONE = timedelta(hours=24)
KEEP_DEAD = timedelta(days=7)


class MongoJobStore:
    """`process` is this start of this process: random, never a host name, so that it is never reused."""

    def __init__(self, mongo: Mongo, codec: Codec, clock: Clock) -> None:
        self.process = f"prc_{secrets.token_hex(12)}"
        self.wake: Callable[[], None] = lambda: None
        """Called after a job was committed here; the runner puts its own event behind it."""
        self._jobs = mongo.collection(JOBS)
        self._processes = mongo.collection(PROCESSES)
        self._codec = codec
        self._clock = clock
        self._offset = timedelta()

    def now(self) -> datetime:
        """The server's time, as well as it is known."""
        return self._clock.now() + self._offset

    # Enqueue

    async def enqueue(
        self,
        message: Message[Any],
        context: Context,
        *,
        queue: str = "default",
        run_at: datetime | None = None,
        priority: int = 0,
        unique_key: str | None = None,
        max_attempts: int | None = None,
        owner_id: str | None = None,
    ) -> str:
        """See `Context.enqueue`. Majority-durable when it returns, or with the caller's transaction."""
        now = self.now()
        principal_id = context.principal.user_id if context.principal else None
        document: dict[str, Any] = {
            "_id": new_id("job"),
            "queue": queue,
            "kind": message.message_kind,
            "version": message.message_version,
            "state": JobState.AVAILABLE.value,
            "priority": priority,
            "run_at": run_at or now,
            "attempt": 0,
            "max_attempts": max_attempts or DEFAULT_MAX_ATTEMPTS,
            "payload": self._codec.encode(message),
            "owner_id": owner_id or principal_id,
            "principal_id": principal_id,
            "request_id": context.request_id,
            "trace_id": context.trace_id,
            "created_at": now,
        }
        if unique_key is None:
            await self._jobs.insert_one(document, session=context.session)
        else:
            document["_id"] = await self._insert_unique(document, unique_key, context.session)
        if run_at is None:
            context.after_commit(self.wake)
        identifier: str = document["_id"]
        return identifier

    async def _insert_unique(self, document: dict[str, Any], unique_key: str, session: Session | None) -> str:
        """An upsert, so that a collision does not abort the caller's transaction."""
        document["unique_key"] = unique_key
        state = document.pop("state")
        wanted = {"unique_key": unique_key, "state": {"$in": list(LIVE)}}
        fields = {key: value for key, value in document.items() if key != "unique_key"}
        while True:
            try:
                row = await self._jobs.find_one_and_upsert(
                    wanted, {"$setOnInsert": {**fields, "state": state}}, projection={"_id": 1}, session=session
                )
            except DuplicateKey:
                if session is not None:
                    raise
                continue  # two upserts raced outside a transaction: the other's job is there to be found now
            return str(row["_id"])

    # Claim and finish

    async def claim(self, queue: str, limit: int) -> list[Job]:
        """Take up to `limit` due jobs of `queue` for this process; each attempt begun is counted."""
        now = self.now()
        due = {"queue": queue, "state": JobState.AVAILABLE.value, "run_at": {"$lte": now}}
        found = self._jobs.find(due, {"_id": 1}).sort([("priority", 1), ("run_at", 1), ("_id", 1)]).limit(limit)
        ids = [row["_id"] for row in await found.to_list(limit)]
        if not ids:
            return []
        claim = secrets.token_hex(12)
        await self._jobs.update_many(
            {"_id": {"$in": ids}, "state": JobState.AVAILABLE.value},
            {
                "$set": {
                    "state": JobState.RUNNING.value,
                    "claim": claim,
                    "process": self.process,
                    "started_at": now,
                },
                "$inc": {"attempt": 1},
            },
        )
        mine = self._jobs.find({"_id": {"$in": ids}, "claim": claim})
        return [job_from(row) for row in await mine.to_list(limit)]

    async def seconds_to_next(self, queues: Sequence[str]) -> float:
        """How long until the next job of `queues` is due, negative where one is overdue; infinite where none waits."""
        row = await self._jobs.find_one(
            {"queue": {"$in": list(queues)}, "state": JobState.AVAILABLE.value}, {"run_at": 1}, sort=[("run_at", 1)]
        )
        return math.inf if row is None else (row["run_at"] - self.now()).total_seconds()

    async def complete(self, job: Job, result: object) -> bool:
        """Running → completed. False where the claim is no longer ours (rescued, cancelled): nothing is written."""
        now = self.now()
        return await self._finish(
            job,
            {
                "state": JobState.COMPLETED.value,
                "result": result,
                "finished_at": now,
                "expire_at": now + KEEP_DONE,
            },
        )

    async def retry(self, job: Job, *, delay_seconds: float, error: str, detail: str) -> bool:
        """Running → available later, with this attempt's error kept."""
        return await self._finish(
            job,
            {
                "state": JobState.AVAILABLE.value,
                "run_at": self.now() + timedelta(seconds=delay_seconds),
            },
            error=self._error(job, error, detail),
        )

    async def bury(self, job: Job, *, error: str, detail: str) -> bool:
        """Running → dead: an operator decides what happens next."""
        now = self.now()
        return await self._finish(
            job,
            {"state": JobState.DEAD.value, "finished_at": now, "expire_at": now + KEEP_DEAD},
            error=self._error(job, error, detail),
        )

    async def put_back(self, job: Job, *, delay_seconds: float = 0.0) -> bool:
        """Running → available, without counting the attempt: it was not the job's fault."""
        run_at = self.now() + timedelta(seconds=delay_seconds)
        return await self._finish(
            job, {"state": JobState.AVAILABLE.value, "run_at": run_at}, increments={"attempt": -1}
        )

    async def _finish(
        self,
        job: Job,
        fields: dict[str, Any],
        *,
        error: dict[str, Any] | None = None,
        increments: dict[str, int] | None = None,
    ) -> bool:
        update: dict[str, Any] = {"$set": fields, "$unset": {"claim": "", "process": ""}}
        if error is not None:
            update["$push"] = {"errors": {"$each": [error], "$slice": -KEPT_ERRORS}}
        if increments:
            update["$inc"] = increments
        fence = {"_id": job.id, "state": JobState.RUNNING.value, "claim": job.claim}
        written = await self._jobs.update_one(fence, update)
        return bool(written.modified_count)

    def _error(self, job: Job, error: str, detail: str) -> dict[str, Any]:
        return {"attempt": job.attempt, "at": self.now(), "error": error, "detail": detail[:500]}

    # Processes

    async def heartbeat(self) -> None:
        """Say that this process lives, by the server's clock, and learn that clock's offset."""
        sent = self._clock.now()
        row = await self._processes.find_one_and_upsert({"_id": self.process}, {"$currentDate": {"heartbeat_at": True}})
        received = self._clock.now()
        self._offset = row["heartbeat_at"] - (sent + (received - sent) / 2)

    async def leave(self) -> None:
        """This process claims nothing any more; whatever it still holds is rescued at once by the others."""
        await self._processes.delete_one({"_id": self.process})

    async def rescue(self) -> int:
        """Give back the jobs of processes that are gone; answers how many. Safe to run anywhere at any time."""
        fresh = {"heartbeat_at": {"$gt": self.now() - timedelta(seconds=STALE_AFTER_SECONDS)}}
        alive = [row["_id"] for row in await self._processes.find(fresh, {"_id": 1}).to_list(None)]
        orphans = self._jobs.find({"state": JobState.RUNNING.value, "process": {"$nin": alive}}).limit(500)
        rescued = 0
        async for row in orphans:
            job = job_from(row)
            if job.lost + 1 >= MAX_LOST:
                rescued += await self.bury(job, error="poison", detail=f"lost with its process {MAX_LOST} times")
            else:
                rescued += await self._finish(
                    job,
                    {"state": JobState.AVAILABLE.value, "run_at": self.now()},
                    increments={"attempt": -1, "lost": 1},
                )
        return rescued

    # Looking

    async def get(self, job_id: str, *, owner_id: str | None) -> Job:
        """One job; with `owner_id` only that owner's. Raises `NotFound`."""
        wanted = {"_id": job_id} if owner_id is None else {"_id": job_id, "owner_id": owner_id}
        row = await self._jobs.find_one(wanted)
        if row is None:
            raise NotFound("There is no such job, or it is not yours")
        return job_from(row)

    async def list_page(self, filters: Mapping[str, Any], cursor: Cursor | None, limit: int) -> Page[Job]:
        """Newest first; `filters` are equality filters on document fields."""
        wanted = {**filters, **(cursor.after() if cursor else {})}
        rows = self._jobs.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, job_from)
