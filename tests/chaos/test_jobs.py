"""Twenty thousand jobs, three processes with clocks a minute apart, and everything that can be done to them."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
import structlog

from promptforge.core.jobs import INDEXES, JobState
from promptforge.core.mongo import Index, Mongo, ensure_indexes
from tests.chaos.ledger_worker import DATABASE, EFFECTS, Append, LedgerActor, work
from tests.support.processes import job_process
from tests.support.replica import ReplicaSet

JOBS = 20_000
SKEWS = (-30.0, 0.0, 30.0)
CHAOS_SECONDS = 60
PAUSE_SECONDS = 30
"""Longer than a lease: the paused process is declared dead, and wakes up with jobs in hand."""

log = structlog.get_logger(__name__)
pytestmark = pytest.mark.anyio


class Workers:
    """Three processes, forked from one that has imported everything: a restart takes a tenth of a second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.chaos.ledger_worker"])
        self.processes = [self._start(skew) for skew in SKEWS]

    def _start(self, skew: float) -> multiprocessing.process.BaseProcess:
        process = self._context.Process(target=work, args=(self._url, skew), daemon=True)
        process.start()
        return process

    def kill(self, index: int) -> None:
        """Kill -9, and start it again."""
        self._end(self.processes[index])
        self.processes[index] = self._start(SKEWS[index])

    def signal(self, index: int, number: signal.Signals) -> None:
        pid = self.processes[index].pid
        assert pid is not None
        os.kill(pid, number)

    def stop(self) -> None:
        for process in self.processes:
            self._end(process)

    @staticmethod
    def _end(process: multiprocessing.process.BaseProcess) -> None:
        with suppress(ProcessLookupError):
            process.kill()
        process.join()


@pytest.fixture
def replica_set(tmp_path: Path) -> Iterator[ReplicaSet]:
    members = ReplicaSet.start(tmp_path)
    yield members
    members.stop()


@pytest.mark.timeout(900)
async def test_every_job_has_its_effect_exactly_once(replica_set: ReplicaSet) -> None:
    seed = random.randrange(1_000_000)
    log.info("chaos.seed", seed=seed)
    mongo = await Mongo.connect(replica_set.url, DATABASE)
    await ensure_indexes(mongo, {**INDEXES, EFFECTS: (Index((("number", 1),)),)})
    async with job_process(mongo, [LedgerActor(mongo)], running=False) as process:
        await process.context().enqueue_many([Append(number=number) for number in range(JOBS)])
    workers = Workers(replica_set.url)
    try:
        await anyio.to_thread.run_sync(_torment, workers, replica_set, random.Random(seed))
        await _until_drained(mongo)
    finally:
        workers.stop()
    effects: Counter[int] = Counter()
    async for line in mongo.collection(EFFECTS).find({}):
        effects[line["number"]] += 1
    states = Counter([job["state"] async for job in mongo.collection("jobs").find({}, {"state": 1})])
    lost = await mongo.collection("jobs").count_documents({"lost": {"$gt": 0}})
    mongo.close()
    log.info("chaos.lost", jobs=lost)
    assert states == {JobState.COMPLETED.value: JOBS}
    assert len(effects) == JOBS
    assert set(effects.values()) == {1}
    assert lost > 0


def _torment(workers: Workers, replica_set: ReplicaSet, rng: random.Random) -> None:
    """Every second a kill -9; twice a new primary; once a process that sleeps through its lease."""
    started = time.monotonic()
    sleeper, woken, step_downs = 0, False, [15.0, 35.0]
    workers.signal(sleeper, signal.SIGSTOP)
    while (elapsed := time.monotonic() - started) < CHAOS_SECONDS:
        if not woken and elapsed > PAUSE_SECONDS:
            workers.signal(sleeper, signal.SIGCONT)
            woken = True
        if step_downs and elapsed > step_downs[0]:
            step_downs.pop(0)
            replica_set.step_down()
        candidates = [index for index in range(len(SKEWS)) if index != sleeper]
        workers.kill(rng.choice(candidates))
        time.sleep(1)


async def _until_drained(mongo: Mongo) -> None:
    jobs = mongo.collection("jobs")
    until = time.monotonic() + 600
    while await jobs.find_one({"state": {"$in": ["waiting", "available", "running"]}}) is not None:
        assert time.monotonic() < until, "jobs are left over"
        await anyio.sleep(1)
