"""Who is alive: each start of a process has a document with a heartbeat by the server's clock.

A process whose heartbeat is stale is taken for dead: its document is removed first, so that it learns of it when it was
only paused, and its jobs are given back. Its id is random and never used again.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection as Ids
from datetime import datetime, timedelta

import structlog

from promptforge.core.jobs.documents import BY_ID, JOBS, OVER, PROCESSES, RELEASED, expiry
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.jobs.states import JobState
from promptforge.core.mongo import Document, Mongo

STALE_AFTER_SECONDS = 20.0
MAX_LOST = 10
"""A job lost with its process this often is what kills the processes: it becomes dead, reason `poison`."""
RESCUED_AT_ONCE = 5000
KEEP_POISON = timedelta(days=7)

log = structlog.get_logger(__name__)


class Processes:
    """`id` is this process's at the moment: it takes another one once it has been declared dead."""

    def __init__(self, mongo: Mongo, clock: ServerClock) -> None:
        self.id = _new_process()
        self._jobs = mongo.collection(JOBS)
        self._processes = mongo.collection(PROCESSES)
        self._clock = clock

    async def register(self) -> None:
        """Be known as alive, before anything is claimed, and learn the server's clock."""
        sent = self._clock.local.now()
        row = await self._processes.find_one_and_upsert({"_id": self.id}, {"$currentDate": {"heartbeat_at": True}})
        self._clock.measure(sent, row["heartbeat_at"], self._clock.local.now())

    async def heartbeat(self) -> bool:
        """Say that this process lives. False: it was declared dead meanwhile, and has a new id now."""
        sent = self._clock.local.now()
        row = await self._processes.find_one_and_update({"_id": self.id}, {"$currentDate": {"heartbeat_at": True}})
        if row is None:
            self.id = _new_process()
            await self.register()
            return False
        self._clock.measure(sent, row["heartbeat_at"], self._clock.local.now())
        return True

    async def leave(self) -> None:
        """This process claims nothing any more; whatever it still holds is rescued by the others."""
        await self._processes.delete_one({"_id": self.id})

    async def count_alive(self) -> int:
        return await self._processes.count_documents({"heartbeat_at": {"$gt": self._stale()}})

    def _stale(self) -> datetime:
        return self._clock.now() - timedelta(seconds=STALE_AFTER_SECONDS)

    async def rescue(self) -> int:
        """Give back the jobs of processes that are gone; answers how many. Safe to run anywhere at any time.

        The living are read again after the jobs: a process is registered before it claims, so the owner of a job that
        was seen running is among them by then, or dead.
        """
        await self._processes.delete_many({"heartbeat_at": {"$lte": self._stale()}})
        known = [row["_id"] for row in await self._processes.find({}, {"_id": 1}).to_list(None)]
        orphaned = {"state": JobState.RUNNING.value, "process": {"$nin": known}}
        found = self._jobs.find(orphaned, {"process": 1, "claim": 1}).limit(RESCUED_AT_ONCE)
        rows = await found.to_list(RESCUED_AT_ONCE)
        suspects = {row["process"] for row in rows}
        alive = {row["_id"] for row in await self._processes.find({"_id": {"$in": sorted(suspects)}}).to_list(None)}
        orphans = [row for row in rows if row["process"] not in alive]
        return await self._give_back(orphans) if orphans else 0

    async def reconcile(self, known: Ids[str]) -> int:
        """Give back what this process holds without knowing it: a claim whose answer was lost. Answers how many."""
        mine = {"state": JobState.RUNNING.value, "process": self.id, "claim": {"$nin": sorted(known)}}
        rows = await self._jobs.find(mine, {"claim": 1}).limit(RESCUED_AT_ONCE).to_list(RESCUED_AT_ONCE)
        return await self._give_back(rows) if rows else 0

    async def _give_back(self, rows: list[Document]) -> int:
        """Fenced by the claims that were seen: a job that moved on since is left alone.

        One that was to be cancelled is given back too; whoever claims it next cancels it.
        """
        now = self._clock.now()
        held: Document = {
            "_id": {"$in": [row["_id"] for row in rows]},
            "claim": {"$in": sorted({row["claim"] for row in rows})},
            "state": JobState.RUNNING.value,
        }
        poison = {
            "$set": {"state": JobState.DEAD.value, "finished_at": now, **expiry(now, KEEP_POISON)},
            "$unset": {**RELEASED, **OVER},
            "$inc": {"lost": 1},
            "$push": {"errors": _poison(now)},
        }
        poisoned = await self._jobs.update_many({**held, "lost": {"$gte": MAX_LOST - 1}}, poison, hint=BY_ID)
        available = {
            "$set": {"state": JobState.AVAILABLE.value, "run_at": now, "due_at": now},
            "$unset": RELEASED,
            "$inc": {"attempt": -1, "lost": 1},
        }
        freed = await self._jobs.update_many({**held, "lost": {"$not": {"$gte": MAX_LOST - 1}}}, available, hint=BY_ID)
        if poisoned.modified_count:
            log.error("jobs.poisoned", count=poisoned.modified_count)
        return poisoned.modified_count + freed.modified_count


def _new_process() -> str:
    return f"prc_{secrets.token_hex(12)}"


def _poison(now: datetime) -> Document:
    return {"attempt": 0, "at": now, "error": "poison", "detail": f"Lost with its process {MAX_LOST} times"}
