"""Enqueueing on a real MongoDB: many at once, callers that share an insert, the way past the claim, unique jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.jobs import ANY_STATE, JobState, PayloadTooLarge, Queue, Rate, Unique, job
from promptforge.core.jobs.claims import Claimed
from promptforge.core.jobs.endings import Ending
from promptforge.core.jobs.outcomes import UnknownQueue
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Collection, Document, DuplicateKey, Mongo
from promptforge.core.runtime import Actor, handles
from tests.support.processes import TestProcess, job_process

pytestmark = pytest.mark.anyio


@internal
class Write(Command[str]):
    """Says its text back."""

    text: str = ""
    number: int = 0


@job(queue="narrow")
@internal
class Hold(Command[None]):
    """Holds its slot until the test lets it go."""

    name: str = ""


class WritingActor(Actor):
    name = "writing"

    def __init__(self) -> None:
        self.holding: list[str] = []
        self.let_go = anyio.Event()

    @handles(Write)
    async def write(self, message: Write, context: Context) -> str:
        return message.text

    @handles(Hold)
    async def hold(self, message: Hold, context: Context) -> None:
        self.holding.append(message.name)
        await self.let_go.wait()


def _texts(rows: list[Document]) -> list[str]:
    return [row["payload"]["text"] for row in rows]


async def _all_jobs(mongo: Mongo) -> list[Document]:
    return await mongo.collection("jobs").find({}).sort([("_id", 1)]).to_list(None)


async def _idle(process: TestProcess, queue: str = "default") -> None:
    """Wait until the runner has looked and found nothing."""
    with anyio.fail_after(60):
        while not process.runner.has_room(queue):
            await anyio.sleep(0.01)


def _claim_nothing(process: TestProcess, monkeypatch: pytest.MonkeyPatch, *, more: bool = False) -> None:
    """From now on whatever runs in this process got past the claim."""

    async def claim(*arguments: object) -> Claimed:
        return Claimed([], more=more)

    monkeypatch.setattr(process.store.claims, "claim", claim)


# Many in one call


async def test_many_jobs_are_stored_in_their_order(mongo: Mongo) -> None:
    async with job_process(mongo, [WritingActor()], running=False) as process:
        ids = await process.context().enqueue_many(Write(text=str(number)) for number in range(2500))
        rows = await _all_jobs(mongo)
        claimed = await process.claim(100)
    assert [row["_id"] for row in rows] == ids == sorted(set(ids))
    assert _texts(rows) == [str(number) for number in range(2500)]
    assert [found.id for found in claimed] == ids[:100]


async def test_many_jobs_of_a_transaction_are_all_there_or_none(mongo: Mongo) -> None:
    async with job_process(mongo, [WritingActor()], running=False) as process:

        async def work(inner: Context, *, fails: bool) -> list[str]:
            ids = await inner.enqueue_many([Write()] * 1500)
            if fails:
                raise NotFound
            return ids

        with pytest.raises(NotFound):
            await process.context().transaction(lambda inner: work(inner, fails=True))
        assert await _all_jobs(mongo) == []
        ids = await process.context().transaction(lambda inner: work(inner, fails=False))
        assert [row["_id"] for row in await _all_jobs(mongo)] == ids


# Callers that share an insert


class _Callers:
    """Tasks that enqueue, the first of them held in its insert until `gate` is set. `inserts`: how large each is."""

    def __init__(self, process: TestProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = asyncio.Event()
        self.inserts: list[int] = []
        self.tasks: list[asyncio.Task[str]] = []
        self._process = process
        insert_many = Collection.insert_many

        async def spied(collection: Collection, documents: list[Document], **options: Any) -> Any:
            self.inserts.append(len(documents))
            await self.gate.wait()
            return await insert_many(collection, documents, **options)

        monkeypatch.setattr(Collection, "insert_many", spied)

    async def start(self, number: int) -> None:
        calls = [self._process.context().enqueue(Write(text=str(index))) for index in range(number)]
        self.tasks = [asyncio.ensure_future(call) for call in calls]
        with anyio.fail_after(60):
            while not self.inserts or len(self._process.store.enqueuer._callers) < number - 1:
                await anyio.sleep(0.001)

    async def outcomes(self) -> list[str | BaseException]:
        with anyio.fail_after(60):
            return await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_fifty_callers_at_once_share_a_few_inserts(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    async with job_process(mongo, [WritingActor()], running=False) as process:
        callers = _Callers(process, monkeypatch)
        await callers.start(50)
        callers.gate.set()
        assert await callers.outcomes() == [row["_id"] for row in await _all_jobs(mongo)]
    assert callers.inserts == [1, 49]


async def test_a_caller_cancelled_in_its_turn_holds_nobody_up(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    async with job_process(mongo, [WritingActor()], running=False) as process:
        callers = _Callers(process, monkeypatch)
        await callers.start(6)
        callers.tasks[1].cancel()  # it would have been the next to insert
        callers.tasks[3].cancel()
        await anyio.sleep(0.01)
        callers.gate.set()
        outcomes = await callers.outcomes()
        assert [isinstance(outcome, str) for outcome in outcomes] == [True, False, True, False, True, True]
        assert _texts(await _all_jobs(mongo)) == ["0", "2", "4", "5"]
        await process.context().enqueue(Write(text="after"))


async def test_a_caller_cancelled_once_it_is_to_insert_hands_on(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    async with job_process(mongo, [WritingActor()], running=False) as process:
        callers = _Callers(process, monkeypatch)
        await callers.start(5)
        hand_on = process.store.enqueuer._let_the_next_lead
        unlucky = iter(callers.tasks[1:3])

        def hand_on_and_cancel() -> None:
            hand_on()
            if (task := next(unlucky, None)) is not None:
                task.cancel()

        monkeypatch.setattr(process.store.enqueuer, "_let_the_next_lead", hand_on_and_cancel)
        callers.gate.set()
        outcomes = await callers.outcomes()
        assert [isinstance(outcome, str) for outcome in outcomes] == [True, False, False, True, True]
        assert _texts(await _all_jobs(mongo)) == ["0", "3", "4"]
        await process.context().enqueue(Write(text="after"))


async def test_a_caller_cancelled_during_its_insert_still_stores_it(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with job_process(mongo, [WritingActor()], running=False) as process:
        callers, scope = _Callers(process, monkeypatch), anyio.CancelScope()

        async def enqueue() -> None:
            with scope:
                await process.context().enqueue(Write(text="cancelled"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enqueue)
            await callers.start(2)
            scope.cancel()
            callers.gate.set()
        await callers.outcomes()
    assert _texts(await _all_jobs(mongo)) == ["cancelled", "0", "1"]


async def test_a_job_that_cannot_be_stored_loses_nobody_elses(mongo: Mongo) -> None:
    async with job_process(mongo, [WritingActor()], running=False) as process:
        numbers = [*range(5), 2**63, *range(5)]  # valid JSON, and more than BSON can hold
        calls = [process.context().enqueue(Write(number=number)) for number in numbers]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    stored = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert stored == [row["_id"] for row in await _all_jobs(mongo)]
    assert isinstance(outcomes[5], Exception)


# Past the claim


@pytest.mark.parametrize("way", ["alone", "in a transaction"])
async def test_a_process_with_nothing_to_do_takes_its_own_job_without_a_claim(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    actor = WritingActor()
    async with job_process(mongo, [actor]) as process:
        await _idle(process, "narrow")
        _claim_nothing(process, monkeypatch)
        context = process.context()
        if way == "alone":
            job_id = await context.enqueue(Hold())
        else:
            job_id = await context.transaction(lambda inner: inner.enqueue(Hold()))
        stored = await process.store.get(job_id)
        assert (stored.state, stored.attempt, stored.started_at) == ("running", 1, stored.created_at)
        assert stored.process == process.store.processes.id
        actor.let_go.set()
        await process.until_done(job_id)


async def test_an_aborted_transaction_gives_the_slot_back(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    actor = WritingActor()
    async with job_process(mongo, [actor], queues=[Queue("narrow", concurrency=1)]) as process:
        await _idle(process, "narrow")
        _claim_nothing(process, monkeypatch)

        async def work(inner: Context) -> None:
            await inner.enqueue(Hold(name="lost"))
            raise NotFound

        with pytest.raises(NotFound):
            await process.context().transaction(work)
        assert await _all_jobs(mongo) == []
        actor.let_go.set()
        await process.until_done(await process.context().enqueue(Hold(name="kept")))
    assert actor.holding == ["kept"]


@pytest.mark.parametrize("reason", ["paused", "global_limit", "rate", "fair", "backlog"])
async def test_a_job_goes_no_shorter_way_where_its_queue_has_rules_or_others_wait(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    rules: dict[str, dict[str, Any]] = {"global_limit": {"global_limit": 5}, "rate": {"rate": Rate(5, 1.0)}}
    queue = Queue("narrow", paused=reason == "paused", fair=reason == "fair", **rules.get(reason, {}))
    async with job_process(mongo, [WritingActor()], queues=[queue]) as process:
        _claim_nothing(process, monkeypatch, more=reason == "backlog")
        await _idle(process) if reason != "backlog" else await anyio.sleep(0.3)
        await process.context().enqueue(Hold())
        await process.context().transaction(lambda inner: inner.enqueue(Hold()))
        assert [row["state"] for row in await _all_jobs(mongo)] == ["available"] * 2


async def test_a_transaction_takes_no_more_past_the_claim_than_there_are_slots(mongo: Mongo) -> None:
    async with job_process(mongo, [actor := WritingActor()], queues=[Queue("narrow", concurrency=2)]) as process:
        await _idle(process, "narrow")

        async def work(inner: Context) -> list[str]:
            return [await inner.enqueue(Hold()) for _ in range(20)]

        ids = await process.context().transaction(work)
        states = [(await process.store.get(job_id)).state for job_id in ids]
        actor.let_go.set()
    assert states.count(JobState.RUNNING) <= 2


async def test_a_job_without_a_free_slot_waits_for_its_turn(mongo: Mongo) -> None:
    actor = WritingActor()
    async with job_process(mongo, [actor], queues=[Queue("narrow", concurrency=1)]) as process:
        await _idle(process, "narrow")
        ids = [await process.context().enqueue(Hold(name=name)) for name in ("a", "b", "c")]
        states = [(await process.store.get(job_id)).state for job_id in ids]
        actor.let_go.set()
        for job_id in ids:
            await process.until_done(job_id)
    assert states == ["running", "available", "available"]
    assert actor.holding == ["a", "b", "c"]


# What is refused, and options


async def test_what_cannot_be_a_job_is_refused_at_once(mongo: Mongo) -> None:
    async with job_process(mongo, [WritingActor()], running=False) as process:
        context = process.context()
        with pytest.raises(PayloadTooLarge):
            await context.enqueue(Write(text="x" * (256 * 1024)))
        with pytest.raises(UnknownQueue):
            await context.enqueue(Write(), queue="nobody's")
        for priority in (-11, 11):
            with pytest.raises(TypeError, match="priority"):
                await context.enqueue(Write(), priority=priority)
        assert await _all_jobs(mongo) == []
        await context.enqueue(Write(text="x" * (256 * 1024 - 100)), priority=-10)


async def test_an_id_of_the_callers_choice_is_taken_once(mongo: Mongo) -> None:
    async with job_process(mongo, [WritingActor()]) as process:
        assert await process.context().enqueue(Write(), job_id="import-7") == "import-7"
        await process.until_done("import-7")
        with pytest.raises(DuplicateKey):
            await process.context().enqueue(Write(), job_id="import-7")


async def test_a_delayed_job_runs_after_its_delay_and_not_before(mongo: Mongo) -> None:
    async with job_process(mongo, [WritingActor()]) as process:
        await _idle(process)
        await process.until_done(job_id := await process.context().enqueue(Write(), delay_seconds=0.5))
        done = await process.store.get(job_id)
    assert timedelta(seconds=0.5) <= (done.started_at or done.created_at) - done.created_at


# Unique jobs


def _move_on(process: TestProcess, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = process.store.clock.now
    monkeypatch.setattr(process.store.clock, "now", lambda: now() + timedelta(seconds=seconds))


async def _end(process: TestProcess, state: JobState) -> None:
    """Claim the one job there is and let it end so."""
    (claimed,) = await process.claim(1)
    assert await process.store.endings.write_one(Ending(claimed, state))


async def test_a_unique_job_is_enqueued_again_after_its_period(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    unique = Unique("report", period_seconds=60)
    async with job_process(mongo, [WritingActor()], running=False) as process:
        first = await process.context().enqueue(Write(text="1"), unique=unique)
        assert await process.context().enqueue(Write(text="2"), unique=unique) == first
        _move_on(process, monkeypatch, 61)
        second = await process.context().enqueue(Write(text="3"), unique=unique)
        assert await process.context().enqueue(Write(text="4"), unique=unique) == second != first
    assert _texts(await _all_jobs(mongo)) == ["1", "3"]


async def test_a_job_unique_in_any_state_counts_though_it_completed(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    unique = Unique("hourly", period_seconds=3600, states=ANY_STATE)
    async with job_process(mongo, [WritingActor()], running=False) as process:
        first = await process.context().enqueue(Write(text="1"), unique=unique)
        await _end(process, JobState.COMPLETED)
        assert await process.context().enqueue(Write(text="2"), unique=unique) == first
        _move_on(process, monkeypatch, 3599)
        assert await process.context().enqueue(Write(text="3"), unique=unique) == first
        _move_on(process, monkeypatch, 2)
        assert await process.context().enqueue(Write(text="4"), unique=unique) != first


async def test_a_unique_job_counts_in_the_states_it_names(mongo: Mongo) -> None:
    unless_dead = Unique("import", states=frozenset({JobState.AVAILABLE, JobState.DEAD}))
    async with job_process(mongo, [WritingActor()], running=False) as process:
        dead = await process.context().enqueue(Write(text="1"), unique=unless_dead)
        await _end(process, JobState.DEAD)
        assert await process.context().enqueue(Write(text="2"), unique=unless_dead) == dead
        live = await process.context().enqueue(Write(text="3"), unique="import")
        assert live != dead
        await process.claim(1)
        assert await process.context().enqueue(Write(text="4"), unique=unless_dead) not in {dead, live}


async def test_twenty_transactions_at_once_make_one_unique_job(mongo: Mongo) -> None:
    async with job_process(mongo, [WritingActor()], running=False) as process:
        for key in ("a", "b", "c"):
            ids: list[str] = []

            async def work(inner: Context, key: str = key) -> str:
                await mongo.collection("things").insert_one({"key": key}, session=inner.session)
                return await inner.enqueue(Write(text=key), unique=key)

            async def enqueue(ids: list[str] = ids, work: Callable[[Context], Any] = work) -> None:
                ids.append(await process.context().transaction(work))

            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(enqueue)
            assert (len(ids), len(set(ids))) == (20, 1)
    assert _texts(await _all_jobs(mongo)) == ["a", "b", "c"]
    assert await mongo.collection("things").count_documents({}) == 60
