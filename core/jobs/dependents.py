"""What waits for other jobs: jobs with `after`, and the callbacks of batches.

A job that others wait for says so (`has_dependents`), and ends in the transaction that releases them. A batch has no
counter, which every job's end would fight over: whoever ends a job of it looks whether it was the last one, and the
sweep looks again, for the process that died between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from promptforge.core.jobs.documents import BATCHES, JOBS, KEEP_BATCH, OVER, expiry
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.jobs.signals import Signals
from promptforge.core.jobs.states import JobState
from promptforge.core.mongo import Collection, Document, Mongo, Session, run_transaction

SWEPT_AT_ONCE = 100


class Dependents:
    """Safe in several processes at once."""

    def __init__(self, mongo: Mongo, clock: ServerClock) -> None:
        self._mongo = mongo
        self._jobs = mongo.collection(JOBS)
        self._batches = mongo.collection(BATCHES)
        self._clock = clock
        self._signals = Signals(mongo, clock)
        self._swept: dict[str, str] = {}

    async def release(self, ended: Sequence[str], state: JobState, session: Session) -> None:
        """The jobs `ended` are in the final `state`: let go who waited for them, or cancel who waits in vain.

        Those that wait for a dead job go on waiting: an operator retries it, or discards it.
        """
        if state is JobState.DEAD:
            return
        waiting: Document = {"waits_for": {"$in": list(ended)}, "state": JobState.WAITING.value}
        if state is JobState.CANCELLED:
            await self._cancel_down(waiting, session)
            return
        rows = await self._jobs.find(waiting, {"waits_for": 1}, session=session).to_list(None)
        free = [row["_id"] for row in rows if set(row["waits_for"]) <= set(ended)]
        await self._jobs.update_many(waiting, {"$pull": {"waits_for": {"$in": list(ended)}}}, session=session)
        if free:
            now = self._clock.now()
            await self._jobs.update_many(
                {"_id": {"$in": free}, "state": JobState.WAITING.value},
                [
                    {
                        "$set": {
                            "state": JobState.AVAILABLE.value,
                            "run_at": {"$max": ["$run_at", now]},
                            "due_at": {"$max": ["$run_at", now]},
                        }
                    },
                    {"$unset": ["waits_for"]},
                ],
                session=session,
            )
            await self._signals.work(session)

    async def _cancel_down(self, waiting: Document, session: Session) -> None:
        """Cancel those that wait, and those that wait for them, and so on."""
        while rows := await self._jobs.find(waiting, {"_id": 1}, session=session).to_list(None):
            ids = [row["_id"] for row in rows]
            now = self._clock.now()
            error = {
                "attempt": 0,
                "at": now,
                "error": "dependency_cancelled",
                "detail": "What it waited for was cancelled",
            }
            await self._jobs.update_many(
                {"_id": {"$in": ids}, "state": JobState.WAITING.value},
                {
                    "$set": {
                        "state": JobState.CANCELLED.value,
                        "finished_at": now,
                        **expiry(now, timedelta(hours=24)),
                    },
                    "$unset": {"waits_for": "", **OVER},
                    "$push": {"errors": error},
                },
                session=session,
            )
            waiting = {"waits_for": {"$in": ids}, "state": JobState.WAITING.value}

    async def check_batches(self, batch_ids: Iterable[str]) -> None:
        """Close those batches whose jobs have all ended: their callbacks are enqueued, once."""
        for batch_id in batch_ids:
            if await self._jobs.find_one({"batch_live": batch_id}, {"_id": 1}) is None:
                await self._close(batch_id)

    async def _close(self, batch_id: str) -> None:
        async def work(session: Session) -> None:
            now = self._clock.now()
            closed = {"$set": {"state": "done", "finished_at": now, **expiry(now, KEEP_BATCH)}}
            batch = await self._batches.find_one_and_update({"_id": batch_id, "state": "open"}, closed, session=session)
            if batch is not None and (callback := batch.get("callback")) is not None:
                fresh = {"run_at": now, "due_at": now, "created_at": now, "wake": True, "callback_of": batch_id}
                await self._jobs.insert_one({**callback, **fresh}, session=session)

        await run_transaction(self._mongo, work)

    async def sweep(self) -> None:
        """Close batches that nobody closed, and cancel jobs that wait for jobs which no longer exist."""
        await self.check_batches([row["_id"] for row in await self._some(self._batches, {"state": "open"})])
        rows = await self._some(self._jobs, {"state": JobState.WAITING.value})
        awaited = sorted({other for row in rows for other in row["waits_for"]})
        found = await self._jobs.find({"_id": {"$in": awaited}}, {"_id": 1}).to_list(len(awaited)) if awaited else []
        gone = sorted(set(awaited) - {row["_id"] for row in found})
        if gone:
            await run_transaction(self._mongo, lambda session: self.release(gone, JobState.CANCELLED, session))

    async def _some(self, collection: Collection, wanted: Document) -> list[Document]:
        """The next hundred after those of the last sweep."""
        after = self._swept.get(collection.name, "")
        rows = collection.find({**wanted, "_id": {"$gt": after}}, {"waits_for": 1}).sort([("_id", 1)])
        found = await rows.limit(SWEPT_AT_ONCE).to_list(SWEPT_AT_ONCE)
        self._swept[collection.name] = found[-1]["_id"] if len(found) == SWEPT_AT_ONCE else ""
        return found
