"""Effects that happen exactly once: committed with the job's completion, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import OutcomeUnknown, Unavailable
from promptforge.core.ids import new_id
from promptforge.core.jobs import Backoff
from promptforge.core.jobs.telemetry import Outcome
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Mongo, Session
from promptforge.core.runtime import Actor, handles
from tests.support.processes import MongoTransactions, TestProcess, job_process

pytestmark = pytest.mark.anyio


@internal
class Record(Command[str]):
    """Writes a line, in one transaction with its completion."""

    name: str


@internal
class Outer(Command[str]):
    """Asks for a line, and then fails the first time."""


@internal
class Late(Command[str]):
    """Looks at the world outside first, and completes with what it writes afterwards."""


@internal
class Count(Command[None]):
    """Adds one to what everybody adds to."""


class LinesActor(Actor):
    name = "lines"

    def __init__(self, mongo: Mongo) -> None:
        self._lines = mongo.collection("lines")
        self._counters = mongo.collection("counters")
        self.runs = 0
        self.hold = False
        self.holding = anyio.Event()
        self.let_go = anyio.Event()
        self.outside = 0
        self.interrupted = False

    @handles(Record, atomic=True)
    async def record(self, message: Record, context: Context) -> str:
        self.runs += 1
        line = new_id("lin")
        await self._lines.insert_one({"_id": line, "name": message.name}, session=context.session)
        if self.hold:
            self.holding.set()
            try:
                await self.let_go.wait()
            finally:
                self.interrupted = not self.let_go.is_set()
        return line

    @handles(Late)
    async def late(self, message: Late, context: Context) -> str:
        self.outside += 1

        async def work(tx: Context) -> str:
            await self._lines.insert_one({"_id": new_id("lin"), "name": "late"}, session=tx.session)
            return "from the transaction"

        return await context.transaction(work, completes=True)

    @handles(Count, atomic=True)
    async def count(self, message: Count, context: Context) -> None:
        self.runs += 1
        row = await self._counters.find_one({"_id": "all"}, session=context.session)
        number = (row or {"number": 0})["number"] + 1
        await self._counters.update_one({"_id": "all"}, {"$set": {"number": number}}, session=context.session)


class OuterActor(Actor):
    name = "outer"
    asks = ("lines",)

    def __init__(self) -> None:
        self.attempts = 0

    @handles(Outer)
    async def outer(self, message: Outer, context: Context) -> str:
        self.attempts += 1
        await context.ask(Record(name=f"attempt {self.attempts}"))
        if self.attempts == 1:
            raise Unavailable("the first time")
        return "done"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "seconds", lambda self, attempt, rng: 0.0)


async def _names(mongo: Mongo) -> list[str]:
    return [row["name"] async for row in mongo.collection("lines").find({}).sort([("_id", 1)])]


async def test_effect_and_completion_are_one_commit(mongo: Mongo) -> None:
    async with job_process(mongo, [LinesActor(mongo)]) as process:
        job_id = await process.context().enqueue(Record(name="a"))
        await process.until_done(job_id)
        job = await process.store.get(job_id)
        (line,) = [row async for row in mongo.collection("lines").find({})]
    assert (job.result, job.claim) == (line["_id"], None)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("committed", ["it happened", "it did not"])
async def test_a_commit_with_unknown_outcome_has_one_effect(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, committed: str
) -> None:
    original = MongoTransactions.__call__
    troubles = iter([True])

    async def troubled(self: MongoTransactions, work: Callable[[Session], Awaitable[Any]], *, deadline: float) -> Any:
        if not next(troubles, False):
            return await original(self, work, deadline=deadline)
        if committed == "it happened":
            await original(self, work, deadline=deadline)
        raise OutcomeUnknown

    async with job_process(mongo, [LinesActor(mongo)], running=False) as process:
        job_id = await process.context().enqueue(Record(name="a"))
        monkeypatch.setattr(MongoTransactions, "__call__", troubled)
        await process.runner.drain()
        assert (await process.store.get(job_id)).state == "completed"
    assert await _names(mongo) == ["a"]


@pytest.mark.usefixtures("no_beats")
async def test_who_was_taken_for_dead_cannot_commit_any_more(mongo: Mongo) -> None:
    slow, quick = LinesActor(mongo), LinesActor(mongo)
    slow.hold = True
    async with job_process(mongo, [slow]) as paused, job_process(mongo, [quick], running=False) as other:
        job_id = await paused.context().enqueue(Record(name="once"))
        await slow.holding.wait()
        await paused.store.processes.leave()  # as another process does it with a stale heartbeat
        assert await other.store.processes.rescue() == 1
        await other.runner.drain()
        assert (await other.store.get(job_id)).state == "completed"
        slow.let_go.set()
        await _until(lambda: paused.store.telemetry.kind(Record.message_kind).outcomes[Outcome.CLAIM_LOST] == 1)
    assert await _names(mongo) == ["once"]


async def _until(look: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not look():
            await anyio.sleep(0.01)


async def test_a_process_that_was_declared_dead_stops_its_jobs_and_takes_another_id(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptforge.core.jobs.upkeep.HEARTBEAT_SECONDS", 0.1)
    actor = LinesActor(mongo)
    actor.hold = True
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Record(name="a"))
        await actor.holding.wait()
        first = process.store.processes.id
        actor.hold = False
        await process.store.processes.leave()
        await process.until_done(job_id)  # interrupted, given back, and run again
        await _until(lambda: actor.interrupted)
    assert process.store.processes.id != first
    assert await _names(mongo) == ["a"]
    assert actor.runs >= 2  # and more where a slow machine lets the heartbeat come late once more


@pytest.mark.usefixtures("at_once")
async def test_a_handler_that_a_job_asks_does_not_complete_the_job(mongo: Mongo) -> None:
    outer = OuterActor()
    async with job_process(mongo, [LinesActor(mongo), outer]) as process:
        job_id = await process.context().enqueue(Outer())
        await process.until_done(job_id)
        job = await process.store.get(job_id)
    assert (outer.attempts, job.result) == (2, "done")
    assert await _names(mongo) == ["attempt 1", "attempt 2"]


async def test_an_atomic_handler_needs_no_job_and_joins_a_transaction(mongo: Mongo) -> None:
    async with job_process(mongo, [LinesActor(mongo)], running=False) as process:
        await process.context().ask(Record(name="alone"))

        async def work(tx: Context) -> None:
            await tx.ask(Record(name="undone"))
            raise Unavailable("no")

        with pytest.raises(Unavailable):
            await process.context().transaction(work)
    assert await _names(mongo) == ["alone"]


async def test_a_handler_completes_its_job_with_its_second_half(mongo: Mongo) -> None:
    actor = LinesActor(mongo)
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Late())
        await process.until_done(job_id)
        job = await process.store.get(job_id)
    assert (job.result, actor.outside, await _names(mongo)) == ("from the transaction", 1, ["late"])


async def test_two_hundred_jobs_on_one_counter_by_two_processes_all_count(mongo: Mongo) -> None:
    await mongo.collection("counters").insert_one({"_id": "all", "number": 0})
    actors = [LinesActor(mongo), LinesActor(mongo)]
    async with (
        job_process(mongo, [actors[0]], with_feed=True) as first,
        job_process(mongo, [actors[1]], with_feed=True) as second,
    ):
        await _both(first, second, 100)
        with anyio.fail_after(300):
            while await mongo.collection("jobs").count_documents({"state": {"$ne": "completed"}}):
                await anyio.sleep(0.05)
    assert await mongo.collection("counters").find_one({}) == {"_id": "all", "number": 200}
    assert min(actor.runs for actor in actors) > 0


async def _both(first: TestProcess, second: TestProcess, number: int) -> None:
    async with anyio.create_task_group() as tasks:
        for process in (first, second):
            for _ in range(number):
                tasks.start_soon(process.context().enqueue, Count())
