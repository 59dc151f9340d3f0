"""Claiming: up to as many due jobs as this process has room for, in two round trips.

The candidates are read whole, in the order of the claim index, and marked with a fresh token in one write; only where
another process was faster are they read again, by the token.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

import anyio

from promptforge.core.jobs.documents import BY_ID, JOBS, QUEUES, Job, job_from
from promptforge.core.jobs.holdings import Holdings
from promptforge.core.jobs.policy import LEAST_PRIORITY, MOST_PRIORITY
from promptforge.core.jobs.queues import Queue, Rate
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.jobs.states import JobState
from promptforge.core.mongo import Document, Mongo, Session, run_transaction

LARGEST_CLAIM = 500
LARGEST_WINDOW = 2000
FAIR_OWNERS = 32
"""Owners served in one claim of a fair queue; the next claim goes on with the owner after them."""
LIMITED_CLAIM_SECONDS = 5.0
_CLAIM_ORDER = (("priority", 1), ("due_at", 1), ("_id", 1))
_NOT_READ = {"errors": 0, "result": 0}
_PRIORITIES = list(range(LEAST_PRIORITY, MOST_PRIORITY + 1))

_AVAILABLE, _RUNNING = JobState.AVAILABLE.value, JobState.RUNNING.value


@dataclass(frozen=True, slots=True)
class Holder:
    """Who claims, and the token that fences what is written about these jobs."""

    process: str
    claim: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """`more`: there may be more due jobs than were asked for."""

    jobs: list[Job]
    more: bool


class Claims:
    """Each token is expected before it is sent, so that a claim whose answer was lost is recognised later."""

    def __init__(self, mongo: Mongo, clock: ServerClock, *, rng: Random | None = None) -> None:
        self.processes = 1
        """How many processes claim from these queues, as of the last heartbeat."""
        self._mongo = mongo
        self._jobs = mongo.collection(JOBS)
        self._queues = mongo.collection(QUEUES)
        self._clock = clock
        self._rng = rng or Random()  # noqa: S311  # spreads claims, no secret
        self._last_lane: dict[str, str] = {}

    async def claim(self, queue: Queue, limit: int, process: str, holdings: Holdings) -> Claimed:
        """Take up to `limit` due jobs of `queue` for `process`; each attempt begun is counted."""
        limit = min(limit, LARGEST_CLAIM)
        if queue.paused or limit <= 0:
            return Claimed([], more=False)
        holder = Holder(process, secrets.token_hex(8))
        holdings.expect(holder.claim)
        if queue.limited:
            claimed = await run_transaction(
                self._mongo,
                lambda session: self._claim_limited(queue, limit, holder, session),
                deadline=anyio.current_time() + LIMITED_CLAIM_SECONDS,
            )
        else:
            rows = await self._candidates(queue, limit)
            more = bool(rows) if queue.fair else len(rows) >= limit
            claimed = Claimed(await self._take(rows, holder), more)
        if not claimed.jobs:
            holdings.forget(holder.claim)
        return claimed

    async def seconds_to_next(self, queues: Sequence[str]) -> float:
        """How long until the next job of `queues`, none of them fair, is due; infinite where none waits."""
        row = await self._jobs.find_one(
            {"lane": {"$in": list(queues)}, "priority": {"$in": _PRIORITIES}, "due_at": {"$exists": True}},
            {"due_at": 1},
            sort=[("due_at", 1)],
        )
        if row is None:
            return math.inf
        return float((row["due_at"] - self._clock.now()).total_seconds())

    # Candidates

    async def _candidates(self, queue: Queue, limit: int, session: Session | None = None) -> list[Document]:
        now = self._clock.now()
        if queue.fair:
            return await self._fair_candidates(queue.name, now, limit, session)
        window = min(limit * max(self.processes, 1), LARGEST_WINDOW)
        rows = await (
            self._jobs.find(due_in(queue.name, now), _NOT_READ, session=session)
            .sort(_CLAIM_ORDER)
            .limit(window)
            .batch_size(window)
            .to_list(window)
        )
        if len(rows) > limit:  # several processes read the same window: each takes its own sample, in order
            chosen = sorted(self._rng.sample(range(len(rows)), limit))
            rows = [rows[position] for position in chosen]
        return rows

    async def _fair_candidates(self, queue: str, now: datetime, limit: int, session: Session | None) -> list[Document]:
        """The heads of up to 32 owners' rows, dealt out in turns."""
        lanes = await self._lanes_in_turn(queue, min(limit, FAIR_OWNERS), now, session)
        if not lanes:
            return []
        share = math.ceil(limit / len(lanes))
        hands: list[list[Document]] = []
        for lane in lanes:
            rows = self._jobs.find(due_in(lane, now), _NOT_READ, session=session)
            hands.append(await rows.sort(_CLAIM_ORDER).limit(share).to_list(share))
        dealt = [hand[turn] for turn in range(share) for hand in hands if turn < len(hand)]
        dealt = dealt[:limit]
        if dealt:
            self._last_lane[queue] = dealt[-1]["lane"]
        return dealt

    async def _lanes_in_turn(self, queue: str, most: int, now: datetime, session: Session | None) -> list[str]:
        """The owners with work due, from the one after the last served, round to it again."""
        first, end = f"{queue}/", f"{queue}0"  # "0" follows "/"
        last = self._last_lane.get(queue, first)
        found = await self._lanes({"$gt": last, "$lt": end}, most, now, session)
        return found + await self._lanes({"$gte": first, "$lte": last}, most - len(found), now, session)

    async def _lanes(self, bounds: Document, most: int, now: datetime, session: Session | None) -> list[str]:
        """Each is one seek in the index, so it costs the same whatever an owner has waiting."""
        found: list[str] = []
        while len(found) < most:
            wanted = {"lane": bounds, "due_at": {"$lte": now}}
            row = await self._jobs.find_one(wanted, {"lane": 1}, sort=[("lane", 1), *_CLAIM_ORDER], session=session)
            if row is None:
                break
            found.append(row["lane"])
            bounds = {**{key: bound for key, bound in bounds.items() if key.startswith("$l")}, "$gt": row["lane"]}
        return found

    # Taking

    async def _take(self, rows: Sequence[Document], holder: Holder, session: Session | None = None) -> list[Job]:
        if not rows:
            return []
        now = self._clock.now()
        ids = [row["_id"] for row in rows]
        written = await self._jobs.update_many(
            {"_id": {"$in": ids}, "state": _AVAILABLE, "due_at": {"$lte": now}},
            {
                "$set": {"state": _RUNNING, "claim": holder.claim, "process": holder.process, "started_at": now},
                "$inc": {"attempt": 1},
                "$unset": {"due_at": "", "wake": ""},
            },
            hint=BY_ID,
            session=session,
        )
        if written.modified_count == 0:
            return []
        if written.modified_count < len(ids):
            held = {"_id": {"$in": ids}, "claim": holder.claim, "state": _RUNNING}
            mine = self._jobs.find(held, _NOT_READ, session=session)
            return [job_from(row) for row in await mine.to_list(len(ids))]
        jobs = []
        for row in rows:
            row["state"], row["claim"], row["process"] = _RUNNING, holder.claim, holder.process
            row["started_at"] = now
            row["attempt"] += 1
            jobs.append(job_from(row))
        return jobs

    # Limits

    async def _claim_limited(self, queue: Queue, wanted: int, holder: Holder, session: Session) -> Claimed:
        """Exact over all processes: whoever claims from this queue writes its document, so claims go one by one."""
        document = await self._queues.find_one_and_upsert({"_id": queue.name}, {"$inc": {"turn": 1}}, session=session)
        limit = wanted
        if queue.global_limit is not None:
            running = {"state": _RUNNING, "queue": queue.name}
            limit = min(limit, queue.global_limit - await self._jobs.count_documents(running, session=session))
        now = self._clock.now()
        tokens = 0.0
        if queue.rate is not None:
            tokens = _tokens(document, queue.rate, now)
            limit = min(limit, int(tokens))
        if limit <= 0:
            return Claimed([], more=True)
        jobs = await self._take(await self._candidates(queue, limit, session), holder, session)
        if queue.rate is not None:
            left = {"tokens": tokens - len(jobs), "counted_at": now}
            await self._queues.update_one({"_id": queue.name}, {"$set": left}, session=session)
        return Claimed(jobs, more=bool(jobs))


def due_in(lane: str, now: datetime) -> Document:
    """The filter of a claim; in the order of the claim index it needs no sort, and reads no key that is not due."""
    return {"lane": lane, "due_at": {"$lte": now}}


def _tokens(document: Document, rate: Rate, now: datetime) -> float:
    """How many jobs may start now: what was left, and what has trickled in since, at most `count`."""
    counted_at = document.get("counted_at")
    if counted_at is None:
        return float(rate.count)
    trickled = float((now - counted_at).total_seconds()) / rate.seconds * rate.count
    return min(float(rate.count), float(document["tokens"]) + max(trickled, 0.0))
