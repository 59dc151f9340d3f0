"""Queues with limits, paused queues, fair queues, and the order and cost of a claim, on a real MongoDB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import anyio
import pytest

from promptforge.core.clock import SystemClock
from promptforge.core.context import Context
from promptforge.core.jobs import Job, JobState, MongoJobStore, Queue, Rate, job, runner, upkeep
from promptforge.core.jobs.claims import _CLAIM_ORDER, Claimed, Claims, due_in
from promptforge.core.jobs.endings import Ending
from promptforge.core.jobs.holdings import Holdings
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor, handles
from tests.support.processes import SteppedClock, TestProcess, job_process

pytestmark = pytest.mark.anyio


@job(queue="busy")
@internal
class Busy(Command[None]):
    """Work of another queue."""


@job(queue="tight")
@internal
class Work(Command[None]):
    """Takes a moment."""

    name: str = ""
    seconds: float = 0.02


class Gauge:
    """How many run at the moment, over several processes."""

    def __init__(self) -> None:
        self.now = self.most = self.total = 0


class WorkActor(Actor):
    name = "work"
    workers = 16

    def __init__(self, gauge: Gauge | None = None) -> None:
        self.gauge = gauge or Gauge()
        self.own = Gauge()
        self.held: anyio.Event | None = None

    @handles(Work)
    async def work(self, message: Work, context: Context) -> None:
        for gauge in (self.gauge, self.own):
            gauge.now += 1
            gauge.most = max(gauge.most, gauge.now)
        await anyio.sleep(message.seconds)
        if self.held is not None:
            await self.held.wait()
        for gauge in (self.gauge, self.own):
            gauge.now -= 1
            gauge.total += 1


class BusyActor(Actor):
    name = "busy"
    workers = 4

    def __init__(self) -> None:
        self.done = 0

    @handles(Busy)
    async def busy(self, message: Busy, context: Context) -> None:
        self.done += 1


async def _until_all_ran(gauge: Gauge, number: int) -> None:
    with anyio.fail_after(60):
        while gauge.total < number:
            await anyio.sleep(0.01)


async def _enqueue(process: TestProcess, number: int, owner_id: str = "usr_1", **fields: Any) -> list[str]:
    return await process.context().enqueue_many([Work(**fields) for _ in range(number)], owner_id=owner_id)


async def _complete(process: TestProcess, jobs: list[Job]) -> None:
    for claimed in jobs:
        assert await process.store.endings.write_one(Ending(claimed, JobState.COMPLETED))


def _owners(jobs: list[Job]) -> list[str]:
    return [claimed.owner_id or "" for claimed in jobs]


# Limits


async def test_a_limit_over_all_processes_is_never_exceeded(mongo: Mongo) -> None:
    gauge = Gauge()
    actors = [WorkActor(gauge), WorkActor(gauge)]
    queues = [Queue("tight", global_limit=3)]
    async with (
        job_process(mongo, [WorkActor()], queues=queues, running=False) as other,
        job_process(mongo, [actors[0]], queues=queues, with_feed=True),
        job_process(mongo, [actors[1]], queues=queues, with_feed=True),
    ):
        await _enqueue(other, 60)
        await _until_all_ran(gauge, 60)
        number = 60
        while not all(actor.own.total for actor in actors):  # one of them was quick, or the other slow
            await _enqueue(other, 3)
            await _until_all_ran(gauge, number := number + 3)
    assert gauge.most == 3


async def test_claims_that_meet_keep_to_the_limit_over_all_processes(mongo: Mongo) -> None:
    async with job_process(mongo, [WorkActor()], queues=[Queue("tight", global_limit=5)], running=False) as process:
        stores = [MongoJobStore(mongo, process.store.codec, SystemClock()) for _ in range(6)]
        for store in stores:
            store.claims.processes = 10  # so that they do not meet at the same jobs, which would conflict anyway
        await _enqueue(process, 60)
        for _ in range(5):
            claimed: list[Job] = []

            async def claim(store: MongoJobStore, claimed: list[Job] = claimed) -> None:
                queue = process.store.queues["tight"]
                found = await store.claims.claim(queue, 4, store.processes.id, Holdings())
                claimed.extend(found.jobs)

            async with anyio.create_task_group() as tasks:
                for store in stores:
                    tasks.start_soon(claim, store)
            assert len({found.id for found in claimed}) == len(claimed) == 5
            await _complete(process, claimed)


async def test_a_rate_allows_its_count_and_then_what_trickles_in(mongo: Mongo) -> None:
    clock, queues = SteppedClock(), [Queue("tight", rate=Rate(6, 60.0))]
    async with job_process(mongo, [WorkActor()], queues=queues, running=False, clock=clock) as process:
        await _enqueue(process, 50)

        async def claim_after(seconds: float) -> int:
            clock.advance(seconds=seconds)
            return len(await process.claim(100, "tight"))

        assert await claim_after(0) == 6
        assert await claim_after(0) == 0
        assert await claim_after(5) == 0
        assert await claim_after(5) == 1  # nothing of the first five seconds was lost
        assert await claim_after(25) == 2
        assert await claim_after(6) == 1
        assert await claim_after(3600) == 6  # the bucket holds no more


async def test_claims_that_meet_share_one_rate(mongo: Mongo) -> None:
    clock, queues = SteppedClock(), [Queue("tight", rate=Rate(7, 60.0))]
    async with job_process(mongo, [WorkActor()], queues=queues, running=False, clock=clock) as process:
        stores = [MongoJobStore(mongo, process.store.codec, clock) for _ in range(6)]
        await _enqueue(process, 40)
        claimed: list[Job] = []

        async def claim(store: MongoJobStore) -> None:
            queue = process.store.queues["tight"]
            claimed.extend((await store.claims.claim(queue, 4, store.processes.id, Holdings())).jobs)

        async with anyio.create_task_group() as tasks:
            for store in stores:
                tasks.start_soon(claim, store)
    assert len(claimed) == 7


async def test_a_runner_makes_use_of_a_rate_finer_than_its_poll(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 3600.0)
    actor = WorkActor()
    async with job_process(mongo, [actor], queues=[Queue("tight", rate=Rate(1, 0.1))]) as process:
        await _enqueue(process, 30, seconds=0.0)
        await _until_all_ran(actor.gauge, 30)


async def test_a_process_runs_as_many_at_once_as_its_queue_says(mongo: Mongo) -> None:
    actors = [WorkActor(), WorkActor()]
    queues = [Queue("tight", concurrency=3)]
    async with (
        job_process(mongo, [WorkActor()], queues=queues, running=False) as other,
        job_process(mongo, [actors[0]], queues=queues, with_feed=True) as first,
        job_process(mongo, [actors[1]], queues=queues, with_feed=True),
    ):
        held = anyio.Event()
        for actor in actors:
            actor.held = held
        await _enqueue(other, 40)
        with anyio.fail_after(60):
            while any(actor.own.now < 3 for actor in actors):
                await anyio.sleep(0.01)
        held.set()
        for _ in range(10):  # its own jobs, past the claim, count too
            await first.context().enqueue(Work())
            await first.context().transaction(lambda inner: inner.enqueue(Work()))
        with anyio.fail_after(60):
            while sum(actor.own.total for actor in actors) < 60:
                await anyio.sleep(0.01)
    assert [actor.own.most for actor in actors] == [3, 3]


async def test_a_pause_reaches_another_process_and_so_does_its_end(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "HEARTBEAT_SECONDS", 3600.0)  # the change stream tells it, not the next heartbeat
    actor = WorkActor()
    async with (
        job_process(mongo, [actor], with_feed=True) as worker,
        job_process(mongo, [WorkActor()], running=False) as operator,
    ):
        queues = operator.store.queues
        await queues.change("tight", operator.store.now(), paused=True)
        with anyio.fail_after(60):
            while not worker.runner._lanes["tight"].queue.paused:
                await anyio.sleep(0.01)
        ids = [*await _enqueue(operator, 3), await worker.context().enqueue(Work())]
        await anyio.sleep(0.5)
        assert actor.gauge.total == 0
        assert {(await worker.store.get(job_id)).state for job_id in ids} == {"available"}
        await worker.until_done(await operator.context().enqueue(Work(), queue="default"))
        await queues.change("tight", operator.store.now(), paused=False)
        await _until_all_ran(actor.gauge, 5)


async def test_a_pause_counts_at_once_in_the_process_that_is_told_of_it(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "HEARTBEAT_SECONDS", 3600.0)
    actor = WorkActor()
    async with job_process(mongo, [actor]) as process:
        await process.until_done(await process.context().enqueue(Work()))
        await process.store.queues.change("tight", process.store.now(), paused=True)
        job_id = await process.context().enqueue(Work())
        await process.until_done(await process.context().enqueue(Work(), queue="default"))
        assert (await process.store.get(job_id)).state == "available"
        await process.store.queues.change("tight", process.store.now(), paused=False)
        await process.until_done(job_id)


class SlowRows:
    """The rows of a collection, one reading of which takes as long as a test wants."""

    def __init__(self, rows: Any) -> None:  # Any: a collection
        self._rows = rows
        self.read, self.goes_on = anyio.Event(), anyio.Event()

    def find(self, wanted: dict[str, Any]) -> SlowRows:
        return self

    async def to_list(self, most: int | None) -> list[Any]:
        rows: list[Any] = await self._rows.find({}).to_list(most)
        self.read.set()
        await self.goes_on.wait()
        return rows


async def test_what_was_read_before_a_change_and_comes_late_does_not_undo_it(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with job_process(mongo, [WorkActor()], running=False) as process, anyio.create_task_group() as tasks:
        queues, slow = process.store.queues, SlowRows(mongo.collection("job_queues"))
        with monkeypatch.context() as patched:
            patched.setattr(queues, "_documents", slow)
            tasks.start_soon(queues.refresh)  # as a heartbeat does
            await slow.read.wait()
        await queues.change("tight", process.store.now(), paused=True)
        slow.goes_on.set()
        await anyio.wait_all_tasks_blocked()
        assert queues["tight"].paused


# Fair queues


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
async def test_an_owner_with_little_work_waits_for_no_owner_with_much(mongo: Mongo, size: int) -> None:
    async with job_process(mongo, [WorkActor()], queues=[Queue("tight", fair=True)], running=False) as process:
        await _enqueue(process, 200, "usr_a")
        await _enqueue(process, 5, "usr_b")
        claimed: list[str] = []
        while len(claimed) < 15:
            claimed += _owners(await process.claim(size, "tight"))
    assert Counter(claimed[:15])["usr_b"] == 5


@pytest.mark.parametrize("size", [1, 2, 4, 8, 100])
async def test_owners_take_turns_over_several_claims(mongo: Mongo, size: int) -> None:
    owners = [f"usr_{letter}" for letter in "abcde"]
    async with job_process(mongo, [WorkActor()], queues=[Queue("tight", fair=True)], running=False) as process:
        for owner in owners:
            await _enqueue(process, 20, owner)
        claimed: list[str] = []
        while jobs := await process.claim(size, "tight"):
            claimed += _owners(jobs)
            counts = Counter(claimed)
            assert max(counts.values()) - min(counts[owner] for owner in owners) <= 2
    assert len(claimed) == 100


async def test_more_owners_than_one_claim_serves_are_all_served_soon(mongo: Mongo) -> None:
    owners = [f"usr_{number:03}" for number in range(80)]
    async with job_process(mongo, [WorkActor()], queues=[Queue("tight", fair=True)], running=False) as process:
        for owner in owners:
            await _enqueue(process, 3, owner)
        claimed: list[str] = []
        for _ in range(3):
            claimed += _owners(await process.claim(32, "tight"))
    assert set(claimed) == set(owners)


async def test_a_runner_empties_a_fair_queue(mongo: Mongo) -> None:
    actor = WorkActor()
    queues = [Queue("tight", fair=True)]
    async with job_process(mongo, [WorkActor()], queues=queues, running=False) as other:
        await _enqueue(other, 200, "usr_a", seconds=0.0)
        await _enqueue(other, 5, "usr_b", seconds=0.0)
        async with job_process(mongo, [actor], queues=queues):
            await _until_all_ran(actor.gauge, 205)


async def test_a_delayed_job_of_a_fair_queue_runs_once_it_is_due(mongo: Mongo) -> None:
    async with job_process(mongo, [WorkActor()], queues=[Queue("tight", fair=True)]) as process:
        await anyio.sleep(0.3)
        job_id = await process.context().enqueue(Work(), delay_seconds=0.5)
        with anyio.fail_after(60):
            await process.until_done(job_id)


async def test_a_fair_queue_is_not_asked_for_each_job_of_another(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()
    claim = Claims.claim

    async def counted(self: Claims, queue: Queue, *arguments: Any) -> Claimed:
        asked[queue.name] += 1
        return await claim(self, queue, *arguments)

    busy, actor, jobs = BusyActor(), WorkActor(), 60
    async with job_process(mongo, [busy, actor], queues=[Queue("tight", fair=True), Queue("busy")]) as process:
        await anyio.sleep(0.2)
        monkeypatch.setattr(Claims, "claim", counted)
        begun = anyio.current_time()
        for number in range(jobs):
            await process.context().enqueue(Busy(), delay_seconds=0.001)
            with anyio.fail_after(60):
                while busy.done <= number:
                    await anyio.sleep(0.005)
        seconds = anyio.current_time() - begun
        assert asked["busy"] >= jobs
        assert asked["tight"] <= seconds + 2  # once a second, whatever another queue does
        await _enqueue(process, 1)
        await _until_all_ran(actor.gauge, 1)


# The order and the cost of a claim


async def test_jobs_are_claimed_by_priority_and_then_by_time(mongo: Mongo) -> None:
    async with job_process(mongo, [WorkActor()], running=False) as process:
        context, now = process.context(), process.store.now()
        for name, priority, age in (
            ("late", 0, 1),
            ("low", 10, 90),
            ("early", 0, 60),
            ("high, late", -10, 2),
            ("high, early", -10, 30),
            ("future", -10, -60),
        ):
            await context.enqueue(Work(name=name), priority=priority, run_at=now - timedelta(seconds=age))
        claimed = [(await process.claim(1, "tight"))[0].payload["name"] for _ in range(3)]
        claimed += [found.payload["name"] for found in await process.claim(10, "tight")]
    assert claimed == ["high, early", "high, late", "early", "late", "low"]


def _stages(plan: Any) -> Iterator[str]:
    if isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for value in plan.values():
            yield from _stages(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from _stages(value)


async def test_a_claim_reads_what_it_takes_and_nothing_else(mongo: Mongo) -> None:
    async with job_process(mongo, [WorkActor()], running=False) as process:
        await _enqueue(process, 2000)
        while jobs := await process.claim(500, "tight"):
            await process.store.endings._complete_group([Ending(found, JobState.COMPLETED) for found in jobs])
        await process.context().enqueue_many([Work() for _ in range(2000)], delay_seconds=3600)
        await _enqueue(process, 2000)
        order = dict(_CLAIM_ORDER)
        find = {"find": "jobs", "filter": due_in("tight", process.store.now()), "sort": order, "limit": 100}
        answer = await mongo.raw.command({"explain": find, "verbosity": "executionStats"})
    figures, stages = answer["executionStats"], set(_stages(answer["queryPlanner"]["winningPlan"]))
    assert figures["nReturned"] == 100
    assert figures["totalKeysExamined"] <= 110
    assert figures["totalDocsExamined"] == 100
    assert "IXSCAN" in stages
    assert not stages & {"SORT", "COLLSCAN"}
