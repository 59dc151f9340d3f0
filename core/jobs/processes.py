"""Who is alive: each start of a process has a document with a heartbeat by the server's clock.

A process whose heartbeat is stale is taken for dead: its document is removed first, so that it learns of it when it was
only paused, and its jobs are given back. Its id is random and never used again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from promptforge.core.jobs.documents import BY_ID, JOBS, OVER, PROCESSES, RELEASED, expiry
from promptforge.core.jobs.holdings import Holdings
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.jobs.states import JobState
from promptforge.core.mongo import Document, Mongo

STALE_AFTER_SECONDS = 20.0
SUSPECT_AFTER_SECONDS = 8.0
SUSPECTED_FOR_SECONDS = 10.0
"""Nobody is dead who was not suspected for so long: after an outage of MongoDB all are stale, and most of them live."""
MAX_LOST = 10
"""A job lost with its process this often is what kills the processes: it becomes dead, reason `poison`."""
RESCUED_AT_ONCE = 5000
_BEAT = {"$currentDate": {"heartbeat_at": True}, "$unset": {"suspected_at": ""}}
_ORPHAN = {"process": 1, "claim": 1, "kind": 1, "lost": 1}

log = structlog.get_logger(__name__)


class Processes:
    """`id` is this process's at the moment: it takes another one once it has been declared dead."""

    def __init__(self, mongo: Mongo, clock: ServerClock, keep_dead: Callable[[str], timedelta | None]) -> None:
        """`keep_dead`: how long dead jobs of a kind are kept; None is for ever."""
        self.id = _new_process()
        self._keep_dead = keep_dead
        self._jobs = mongo.collection(JOBS)
        self._processes = mongo.collection(PROCESSES)
        self._clock = clock

    async def register(self) -> None:
        """Be known as alive, before anything is claimed, and learn the server's clock."""
        await self._register(self.id)

    async def _register(self, process: str) -> None:
        sent = self._clock.local.now()
        row = await self._processes.find_one_and_upsert({"_id": process}, _BEAT)
        self._clock.measure(sent, row["heartbeat_at"], self._clock.local.now())

    async def heartbeat(self) -> bool:
        """Say that this process lives. False: it was declared dead meanwhile, and has a new id now."""
        sent = self._clock.local.now()
        row = await self._processes.find_one_and_update({"_id": self.id}, _BEAT)
        if row is None:
            fresh = _new_process()
            await self._register(fresh)  # before anything is claimed in its name
            self.id = fresh
            return False
        self._clock.measure(sent, row["heartbeat_at"], self._clock.local.now())
        return True

    async def leave(self) -> None:
        """This process claims nothing any more; whatever it still holds is rescued by the others."""
        await self._processes.delete_one({"_id": self.id})

    async def count_alive(self) -> int:
        return await self._processes.count_documents({"heartbeat_at": {"$gt": self._ago(STALE_AFTER_SECONDS)}})

    def _ago(self, seconds: float) -> datetime:
        return self._clock.now() - timedelta(seconds=seconds)

    async def _remove_dead(self) -> None:
        """Every process may suspect and every process may remove: one that dies in between leaves it to the next."""
        stale = {"$lte": self._ago(STALE_AFTER_SECONDS)}
        suspected = {"$lte": self._ago(SUSPECTED_FOR_SECONDS)}
        await self._processes.delete_many({"heartbeat_at": stale, "suspected_at": suspected})
        silent = {"heartbeat_at": {"$lte": self._ago(SUSPECT_AFTER_SECONDS)}, "suspected_at": {"$exists": False}}
        await self._processes.update_many(silent, {"$currentDate": {"suspected_at": True}})

    async def rescue(self) -> int:
        """Give back the jobs of processes that are gone; answers how many. Safe to run anywhere at any time.

        The living are read again after the jobs: a process is registered before it claims, so the owner of a job that
        was seen running is among them by then, or dead.
        """
        await self._remove_dead()
        known = [row["_id"] for row in await self._processes.find({}, {"_id": 1}).to_list(None)]
        orphaned = {"state": JobState.RUNNING.value, "process": {"$nin": known}}
        found = self._jobs.find(orphaned, _ORPHAN).limit(RESCUED_AT_ONCE)
        rows = await found.to_list(RESCUED_AT_ONCE)
        suspects = {row["process"] for row in rows}
        alive = {row["_id"] for row in await self._processes.find({"_id": {"$in": sorted(suspects)}}).to_list(None)}
        orphans = [row for row in rows if row["process"] not in alive]
        return await self._give_back(orphans) if orphans else 0

    async def reconcile(self, holdings: Holdings) -> int:
        """Give back what this process holds without knowing it: a claim whose answer was lost. Answers how many."""
        mine = {"state": JobState.RUNNING.value, "process": self.id, "claim": {"$nin": holdings.tokens()}}
        rows = await self._jobs.find(mine, _ORPHAN).limit(RESCUED_AT_ONCE).to_list(RESCUED_AT_ONCE)
        leftover = [row for row in rows if row["claim"] not in holdings]  # it may have been claimed while we asked
        return await self._give_back(leftover) if leftover else 0

    async def _give_back(self, rows: list[Document]) -> int:
        """Fenced by the claims that were seen: a job that moved on since is left alone.

        One that was to be cancelled is given back too; whoever claims it next cancels it.
        """
        number = 0
        sound = [row for row in rows if not _is_poison(row)]
        if sound:
            number += await self._free(sound)
        for kind in {row["kind"] for row in rows if _is_poison(row)}:
            number += await self._bury(kind, [row for row in rows if _is_poison(row) and row["kind"] == kind])
        return number

    async def _free(self, rows: list[Document]) -> int:
        now = self._clock.now()
        available = {
            "$set": {"state": JobState.AVAILABLE.value, "run_at": now, "due_at": now},
            "$unset": RELEASED,
            "$inc": {"attempt": -1, "lost": 1},
        }
        return (await self._jobs.update_many(_as_seen(rows), available, hint=BY_ID)).modified_count

    async def _bury(self, kind: str, rows: list[Document]) -> int:
        now = self._clock.now()
        dead = {
            "$set": {"state": JobState.DEAD.value, "finished_at": now, **expiry(now, self._keep_dead(kind))},
            "$unset": {**RELEASED, **OVER},
            "$inc": {"lost": 1},
            "$push": {"errors": _poison(now)},
        }
        buried = (await self._jobs.update_many(_as_seen(rows), dead, hint=BY_ID)).modified_count
        if buried:
            log.error("jobs.poisoned", kind=kind, count=buried)
        return buried


def _is_poison(row: Document) -> bool:
    return bool(row.get("lost", 0) >= MAX_LOST - 1)


def _as_seen(rows: list[Document]) -> Document:
    return {
        "_id": {"$in": [row["_id"] for row in rows]},
        "claim": {"$in": sorted({row["claim"] for row in rows})},
        "state": JobState.RUNNING.value,
    }


def _new_process() -> str:
    return f"prc_{secrets.token_hex(12)}"


def _poison(now: datetime) -> Document:
    return {"attempt": 0, "at": now, "error": "poison", "detail": f"Lost with its process {MAX_LOST} times"}
