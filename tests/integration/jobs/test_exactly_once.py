"""What holds effects to exactly one, whoever dies, is slow, or is wrongly taken for dead, and at whatever moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.jobs import Backoff
from promptforge.core.jobs.telemetry import Outcome
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Document, Mongo, Session, transactions
from promptforge.core.mongo.collections import Rows
from promptforge.core.runtime import Actor, handles
from tests.support.processes import job_process

pytestmark = pytest.mark.anyio
FAR_OFF = datetime(2999, 1, 1, tzinfo=UTC)


@internal
class Write(Command[str]):
    """Writes a line, in one transaction with its completion."""

    name: str


@internal
class Plain(Command[str]):
    """Answers who handled it, without a transaction."""


@internal
class Around(Command[str]):
    """Asks for a line in no transaction and then in one, and notes whether that completed its job."""


@internal
class ThenFail(Command[str]):
    """Completes with its effect, and fails afterwards."""


@internal
class Count(Command[None]):
    """Adds one to what everybody adds to."""


class WriterActor(Actor):
    name = "writer"

    def __init__(self, mongo: Mongo, who: str = "one") -> None:
        self._lines = mongo.collection("lines")
        self._counters = mongo.collection("counters")
        self.who = who
        self.runs = 0
        self.commits: list[int] = []
        self.hold = False
        self.holding = anyio.Event()
        self.let_go = anyio.Event()
        self.interrupted = 0

    @handles(Write, atomic=True)
    async def write(self, message: Write, context: Context) -> str:
        self.runs += 1
        line = {"_id": new_id("lin"), "name": message.name, "by": self.who}
        await self._lines.insert_one(line, session=context.session)
        await self._wait()
        return self.who

    @handles(Plain)
    async def plain(self, message: Plain, context: Context) -> str:
        await self._wait()
        context.report_progress(50, self.who)
        return self.who

    @handles(ThenFail)
    async def then_fail(self, message: ThenFail, context: Context) -> str:
        self.runs += 1

        async def work(tx: Context) -> str:
            await self._lines.insert_one({"_id": new_id("lin"), "name": "x", "by": self.who}, session=tx.session)
            return "kept"

        await context.transaction(work, completes=True)
        raise RuntimeError("too late to matter")

    @handles(Count, atomic=True)
    async def count(self, message: Count, context: Context) -> None:
        self.runs += 1
        row = await self._counters.find_one({"_id": "all"}, session=context.session) or {"number": 0}
        await self._wait()
        context.after_commit(lambda: self.commits.append(row["number"]))
        new = {"$set": {"number": row["number"] + 1}}
        await self._counters.update_one({"_id": "all"}, new, upsert=True, session=context.session)
        await context.enqueue(Write(name="counted"), run_at=FAR_OFF)

    async def _wait(self) -> None:
        if self.hold:
            self.holding.set()
            try:
                await self.let_go.wait()
            except BaseException:
                self.interrupted += 1
                raise


class AroundActor(Actor):
    name = "around"
    asks = ("writer",)

    def __init__(self, mongo: Mongo) -> None:
        self._jobs = mongo.collection("jobs")
        self.states: list[str] = []

    @handles(Around)
    async def around(self, message: Around, context: Context) -> str:
        await context.ask(Write(name="alone"))
        await self._note_state(context)
        answer = await context.transaction(lambda tx: tx.ask(Write(name="joined")))
        await self._note_state(context)
        return f"around {answer}"

    async def _note_state(self, context: Context) -> None:
        row = await self._jobs.find_one({"_id": context.job.job_id if context.job else None})
        self.states.append(row["state"] if row else "gone")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "seconds", lambda self, attempt, rng: 0.0)


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptforge.core.jobs.upkeep.HEARTBEAT_SECONDS", 0.1)


async def _by(mongo: Mongo) -> list[str]:
    return [row["by"] async for row in mongo.collection("lines").find({}).sort([("_id", 1)])]


async def _until(look: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not look():
            await anyio.sleep(0.01)


async def test_nobody_sees_the_effect_without_the_completion(mongo: Mongo) -> None:
    actor = WriterActor(mongo)
    actor.hold = True
    seen: set[tuple[str, int]] = set()
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Write(name="a"))
        await actor.holding.wait()

        async def look(session: Session) -> None:  # one snapshot of both
            job = await mongo.collection("jobs").find_one({"_id": job_id}, session=session)
            lines = mongo.collection("lines").find({}, session=session)
            seen.add((job["state"] if job else "", len(await lines.to_list(None))))

        await transactions.run_transaction(mongo, look)
        actor.let_go.set()
        with anyio.fail_after(60):
            while ("completed", 1) not in seen:
                await transactions.run_transaction(mongo, look)
    assert seen == {("running", 0), ("completed", 1)}


@pytest.mark.usefixtures("at_once")
async def test_what_dies_before_its_commit_leaves_nothing_and_runs_again(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = transactions._commit
    cuts = iter(range(3))
    lines_at_cut: list[int] = []

    async def cut(session: Session, until: float) -> None:
        if next(cuts, None) is None:
            await commit(session, until)
            return
        lines_at_cut.append(len(await mongo.collection("lines").find({}, session=session).to_list(None)))
        raise RuntimeError("the power is cut")

    actor = WriterActor(mongo)
    async with job_process(mongo, [actor], running=False) as process:
        job_id = await process.context().enqueue(Write(name="a"))
        monkeypatch.setattr(transactions, "_commit", cut)
        await process.runner.drain()
        found = await process.store.get(job_id)
    assert lines_at_cut == [1, 1, 1]  # the effect was there each time, but for the commit
    assert (found.state, found.attempt, actor.runs, await _by(mongo)) == ("completed", 4, 4, ["one"])


async def test_a_process_that_stops_before_the_commit_leaves_it_to_another(mongo: Mongo) -> None:
    slow, quick = WriterActor(mongo, "slow"), WriterActor(mongo, "quick")
    slow.hold = True
    async with job_process(mongo, [slow]) as stopped, job_process(mongo, [quick], running=False) as other:
        job_id = await stopped.context().enqueue(Write(name="a"))
        await slow.holding.wait()
        await stopped.runner.stop(0)
        await other.runner.drain()
        found = await other.store.get(job_id)
    assert (found.state, found.attempt, found.result, found.lost) == ("completed", 1, "quick", 0)
    assert (await _by(mongo), slow.interrupted) == (["quick"], 1)


@pytest.mark.usefixtures("no_beats")
@pytest.mark.parametrize("kind", [Write(name="a"), Plain()], ids=["atomic", "plain"])
async def test_who_lost_a_job_to_another_that_still_runs_it_cannot_end_it(mongo: Mongo, kind: Write | Plain) -> None:
    slow, holder = WriterActor(mongo, "slow"), WriterActor(mongo, "holder")
    slow.hold = holder.hold = True
    async with job_process(mongo, [slow]) as stale, job_process(mongo, [holder], running=False) as other:
        job_id = await stale.context().enqueue(kind)
        await slow.holding.wait()
        await stale.store.processes.leave()
        await other.store.processes.register()
        assert await other.store.processes.rescue() == 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.runner.drain)
            await holder.holding.wait()
            before = await mongo.collection("jobs").find_one({"_id": job_id})
            slow.let_go.set()
            await _until(lambda: not stale.runner._runs and not stale.store.endings.unwritten)
            assert await mongo.collection("jobs").find_one({"_id": job_id}) == before
            holder.let_go.set()
        found = await other.store.get(job_id)
    assert (found.state, found.result, found.lost) == ("completed", "holder", 1)
    assert await _by(mongo) == (["holder"] if isinstance(kind, Write) else [])
    lost = stale.store.telemetry.kind(kind.message_kind).outcomes[Outcome.CLAIM_LOST]
    assert lost == isinstance(kind, Write)


async def test_a_handler_that_the_jobs_handler_asks_does_not_complete_the_job(
    mongo: Mongo,
) -> None:
    around = AroundActor(mongo)
    async with job_process(mongo, [WriterActor(mongo), around]) as process:
        job_id = await process.context().enqueue(Around())
        await process.until_done(job_id)
        found = await process.store.get(job_id)
    assert (around.states, found.result, await _by(mongo)) == (["running"] * 2, "around one", ["one"] * 2)


async def test_what_happens_after_the_completing_commit_does_not_count(mongo: Mongo) -> None:
    actor = WriterActor(mongo)
    async with job_process(mongo, [actor], running=False) as process:
        job_id = await process.context().enqueue(ThenFail())
        child = await process.context().enqueue(Write(name="child"), after=[job_id])
        await process.runner.drain()
        found = await process.store.get(job_id)
        assert (await process.store.get(child)).state == "completed"  # released in the same commit
    assert (found.state, found.result, found.errors) == ("completed", "kept", ())
    assert (actor.runs, len(await _by(mongo))) == (2, 2)
    assert process.store.telemetry.kind(ThenFail.message_kind).outcomes == {Outcome.COMPLETED: 1}


async def test_a_transaction_that_conflicts_runs_again_and_has_its_effect_once(mongo: Mongo) -> None:
    actor = WriterActor(mongo)
    actor.hold = True
    counters = mongo.collection("counters")
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Count())
        await actor.holding.wait()
        await counters.update_one({"_id": "all"}, {"$set": {"number": 10}}, upsert=True)
        actor.let_go.set()
        await process.until_done(job_id)
        found = await process.store.get(job_id)
    assert await counters.find_one({}) == {"_id": "all", "number": 11}
    assert (actor.runs > 1, actor.commits, found.attempt, found.errors) == (True, [10], 1, ())
    assert await mongo.collection("jobs").count_documents({"state": "available"}) == 1  # enqueued inside it, once


@pytest.mark.usefixtures("at_once", "quick_beats")
async def test_every_job_counts_once_though_processes_are_taken_for_dead_all_the_time(mongo: Mongo) -> None:
    actors = [WriterActor(mongo) for _ in range(2)]
    async with (
        job_process(mongo, [actors[0]], with_feed=True) as first,
        job_process(mongo, [actors[1]], with_feed=True) as second,
    ):
        await first.context().enqueue_many([Count() for _ in range(150)])
        unfinished = {"kind": Count.message_kind, "state": {"$ne": "completed"}}
        killings = 0
        with anyio.fail_after(300):
            while await mongo.collection("jobs").count_documents(unfinished):
                if killings < 10:
                    await (first, second)[killings % 2].store.processes.leave()
                    killings += 1
                await anyio.sleep(0.15)
        lost = await mongo.collection("jobs").count_documents({"lost": {"$gt": 0}})
    assert await mongo.collection("counters").find_one({}) == {"_id": "all", "number": 150}
    assert lost > 0


@pytest.mark.usefixtures("quick_beats")
async def test_a_process_that_was_taken_for_dead_lets_go_and_another_runs_it(mongo: Mongo) -> None:
    slow, quick = WriterActor(mongo, "slow"), WriterActor(mongo, "quick")
    slow.hold = True
    async with job_process(mongo, [slow]) as dead:
        job_id = await dead.context().enqueue(Write(name="a"))
        await slow.holding.wait()
        first = dead.store.processes.id
        await dead.store.queues.change("default", dead.store.now(), paused=True)  # it claims nothing more itself
        await dead.store.processes.leave()
        await _until(lambda: slow.interrupted >= 1)  # a slow machine may take it for dead once more
        assert dead.store.processes.id != first
        assert await mongo.collection("processes").count_documents({"_id": dead.store.processes.id}) == 1
        await dead.until_done(job_id, state="available")
        async with job_process(mongo, [quick], running=False) as other:
            await other.runner.drain()
        found = await dead.store.get(job_id)
    assert (found.state, found.result, await _by(mongo)) == ("completed", "quick", ["quick"])


@pytest.mark.usefixtures("quick_beats")
async def test_a_heartbeat_gives_back_unknown_claims_and_no_held_or_expected_ones(mongo: Mongo) -> None:
    actor = WriterActor(mongo)
    actor.hold = True
    async with job_process(mongo, [actor]) as process:
        held = await process.context().enqueue(Plain())
        await actor.holding.wait()
        unknown, expected = [await process.context().enqueue(Write(name="a"), run_at=FAR_OFF) for _ in range(2)]
        process.runner.expect("on its way")
        for job_id, claim in ((expected, "on its way"), (unknown, "lost on its way")):
            running = {"state": "running", "process": process.store.processes.id, "claim": claim, "attempt": 1}
            change = {"$set": running, "$unset": {"due_at": ""}}
            await mongo.collection("jobs").update_one({"_id": job_id}, change)
        actor.hold = False
        await process.until_done(unknown)
        await anyio.sleep(0.5)  # some more heartbeats
        jobs = {name: await process.store.get(name) for name in (held, expected, unknown)}
        assert [jobs[name].state for name in (held, expected, unknown)] == ["running", "running", "completed"]
        assert [jobs[name].lost for name in (held, expected, unknown)] == [0, 0, 1]
        actor.let_go.set()
        await process.until_done(held)


async def test_a_process_that_registers_while_the_rescue_reads_keeps_its_jobs(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        job_process(mongo, [WriterActor(mongo)], running=False) as rescuer,
        job_process(mongo, [WriterActor(mongo)], running=False) as newcomer,
    ):
        processes = rescuer.store.processes
        await processes.register()
        job_id = await rescuer.context().enqueue(Plain())
        to_list, reads = Rows.to_list, iter(range(9))

        async def with_a_newcomer(self: Rows, length: int | None) -> list[Document]:
            if next(reads) == 1:  # the living have been read, the jobs have not
                monkeypatch.setattr(Rows, "to_list", to_list)
                await newcomer.store.processes.register()
                assert len(await newcomer.claim(1)) == 1
            return await to_list(self, length)

        monkeypatch.setattr(Rows, "to_list", with_a_newcomer)
        assert await processes.rescue() == 0
        assert next(reads) == 2
        assert (await rescuer.store.get(job_id)).process == newcomer.store.processes.id
