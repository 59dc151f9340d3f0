"""Jobs that wait for other jobs, and the callbacks of batches, on a real MongoDB."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import Conflict, NotFound
from promptforge.core.jobs import Job, JobState
from promptforge.core.jobs.dependents import Dependents
from promptforge.core.jobs.endings import Ending
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Document, Mongo
from promptforge.core.runtime import Actor, handles
from tests.support.processes import TestProcess, job_process

pytestmark = pytest.mark.anyio


@internal
class Step(Command[None]):
    """One of several."""

    name: str


@internal
class Refuse(Command[None]):
    """Fails for good."""


@internal
class Sum(Command[None]):
    """What comes after a batch."""


@internal
class AtomicStep(Command[None]):
    """Completes its job in the transaction of its handler."""


class StepsActor(Actor):
    name = "steps"

    def __init__(self) -> None:
        self.steps: list[str] = []

    @handles(Step)
    async def step(self, message: Step, context: Context) -> None:
        self.steps.append(message.name)

    @handles(Refuse)
    async def refuse(self, message: Refuse, context: Context) -> None:
        raise Conflict("never")

    @handles(Sum)
    async def sum(self, message: Sum, context: Context) -> None:
        self.steps.append("sum")

    @handles(AtomicStep, atomic=True)
    async def atomic_step(self, message: AtomicStep, context: Context) -> None:
        self.steps.append("atomic")


async def _states(process: TestProcess, *ids: str) -> list[str]:
    return [(await process.store.get(job_id)).state.value for job_id in ids]


async def _end(process: TestProcess, jobs: Sequence[Job], state: JobState = JobState.COMPLETED) -> None:
    for claimed in jobs:
        assert await process.store.endings.write_one(Ending(claimed, state))


async def _callbacks(mongo: Mongo) -> list[Document]:
    return await mongo.collection("jobs").find({"kind": Sum.message_kind}).to_list(None)


@pytest.fixture
def no_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called back is so by whoever ended the last job."""

    async def never(self: Dependents) -> None:
        pass

    monkeypatch.setattr(Dependents, "sweep", never)


async def _until_called_back(process: TestProcess) -> None:
    with anyio.fail_after(60):
        while not await _callbacks(process.mongo):
            await anyio.sleep(0.01)


# After other jobs


async def test_a_job_runs_once_all_that_it_waits_for_have_completed(mongo: Mongo) -> None:
    actor = StepsActor()
    async with job_process(mongo, [actor], running=False) as process:
        context = process.context()
        first = await context.enqueue(Step(name="first"))
        second = await context.enqueue(Step(name="second"), delay_seconds=3600)
        after_one = await context.enqueue(Step(name="after one"), after=[first])
        after_both = await context.enqueue(Step(name="after both"), after=[first, second])
        assert await _states(process, after_one, after_both) == ["waiting", "waiting"]
        await process.runner.drain()
        assert await _states(process, after_one, after_both) == ["completed", "waiting"]
        assert (await process.store.get(after_both)).waits_for == (second,)
        await process.store.console.retry(second)
        await process.runner.drain()
        assert await _states(process, after_both) == ["completed"]
    assert actor.steps == ["first", "after one", "second", "after both"]


async def test_a_job_after_what_has_completed_already_waits_for_nothing(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        done = await process.context().enqueue(Step(name="done"))
        await _end(process, await process.claim())
        job_id = await process.context().enqueue(Step(name="next"), after=[done, done])
        assert (await process.store.get(job_id)).waits_for == ()
        assert [claimed.id for claimed in await process.claim()] == [job_id]


async def test_a_chain_runs_in_its_order(mongo: Mongo) -> None:
    actor = StepsActor()
    async with job_process(mongo, [actor]) as process:

        async def chain(inner: Context) -> str:
            first = await inner.enqueue(Step(name="first"), delay_seconds=0.2)
            second = await inner.enqueue(Step(name="second"), after=[first])
            return await inner.enqueue(Step(name="third"), after=[second, first])

        await process.until_done(await process.context().transaction(chain))
    assert actor.steps == ["first", "second", "third"]


async def test_a_child_keeps_the_delay_it_was_enqueued_with(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        parent = await process.context().enqueue(Step(name="parent"))
        child = await process.context().enqueue(Step(name="child"), after=[parent], delay_seconds=3600)
        await _end(process, await process.claim())
        assert await _states(process, child) == ["available"]
        assert await process.claim() == []


@pytest.mark.parametrize("ended_by", ["console", "process", "discard"])
async def test_whoever_waits_for_a_cancelled_job_is_cancelled_too(mongo: Mongo, ended_by: str) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        context, console = process.context(), process.store.console
        parent = await context.enqueue(Step(name="parent"))
        other = await context.enqueue(Step(name="other"), delay_seconds=3600)
        children = [await context.enqueue(Step(name="child"), after=[parent, other]) for _ in range(2)]
        grandchild = await context.enqueue(Step(name="grandchild"), after=[other, children[0]])
        if ended_by == "console":
            await console.cancel(parent)
        elif ended_by == "process":
            await _end(process, await process.claim(), JobState.CANCELLED)
        else:
            await _end(process, await process.claim(), JobState.DEAD)
            await console.discard(parent)
        assert await _states(process, parent, *children, grandchild, other) == ["cancelled"] * 4 + ["available"]
        job = await process.store.get(grandchild)
        assert (job.waits_for, job.errors[-1].error) == ((), "dependency_cancelled")
        with pytest.raises(Conflict):
            await context.enqueue(Step(name="too late"), after=[parent])


async def test_a_child_of_a_dead_job_waits_until_an_operator_retries_its_parent(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        parent = await process.context().enqueue(Step(name="parent"))
        before = await process.context().enqueue(Step(name="child"), after=[parent])
        await _end(process, await process.claim(), JobState.DEAD)
        afterwards = await process.context().enqueue(Step(name="child"), after=[parent])
        assert await process.runner.drain() == 0
        await process.store.dependents.sweep()
        assert await _states(process, before, afterwards) == ["waiting", "waiting"]
        await process.store.console.retry(parent)
        await process.runner.drain()
        assert await _states(process, parent, before, afterwards) == ["completed"] * 3


async def test_a_job_cannot_wait_for_one_that_does_not_exist(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        parent = await process.context().enqueue(Step(name="parent"))
        with pytest.raises(NotFound):
            await process.context().enqueue(Step(name="child"), after=[parent, "job_unknown"])
        assert await mongo.collection("jobs").count_documents({}) == 1
        assert await mongo.collection("jobs").count_documents({"has_dependents": True}) == 0


async def test_a_job_whose_parent_is_gone_is_cancelled_by_the_sweep(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        parent = await process.context().enqueue(Step(name="parent"))
        child = await process.context().enqueue(Step(name="child"), after=[parent])
        await mongo.collection("jobs").delete_one({"_id": parent})
        await process.store.dependents.sweep()
        assert await _states(process, child) == ["cancelled"]


async def test_a_parent_that_completes_while_its_child_is_enqueued_releases_it(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        endings, children = process.store.endings, []
        for turn in range(50):
            parent = await process.context().enqueue(Step(name="parent"))
            (claimed,) = await process.claim()

            async def enqueue(parent: str = parent) -> None:
                children.append(await process.context().enqueue(Step(name="child"), after=[parent]))

            async def complete(turn: int = turn, claimed: Job = claimed) -> None:
                await anyio.sleep(turn % 10 * 0.0005)
                await endings._complete_group([Ending(claimed, JobState.COMPLETED)])

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(enqueue)
                tasks.start_soon(complete)
            await _end(process, await process.claim())  # the child, where it was released
        assert await _states(process, *children) == ["completed"] * 50


async def test_two_parents_that_complete_at_once_release_their_child(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        for _ in range(20):
            parents = [await process.context().enqueue(Step(name="parent")) for _ in range(3)]
            child = await process.context().enqueue(Step(name="child"), after=parents)
            async with anyio.create_task_group() as tasks:
                for claimed in await process.claim():
                    tasks.start_soon(_end, process, [claimed])
            (released,) = await process.claim()
            assert released.id == child
            await _end(process, [released])


# Batches


async def test_the_callback_of_a_batch_runs_once_whichever_way_its_jobs_ended(mongo: Mongo) -> None:
    actor = StepsActor()
    async with job_process(mongo, [actor], running=False) as process:
        messages = [Step(name="1"), Refuse(), Step(name="2")]
        batch = await process.context().enqueue_batch(messages, callback=Sum())
        row = await mongo.collection("jobs").find_one({"payload.name": "2"})
        assert row is not None
        await process.store.console.cancel(row["_id"])
        assert not (await process.store.console.batch(batch)).done
        await process.runner.drain()
        status = await process.store.console.batch(batch)
    assert (status.done, status.total) == (True, 3)
    assert status.counts == dict.fromkeys(("completed", "dead", "cancelled"), 1)
    assert actor.steps == ["1", "sum"]


async def test_a_batch_that_ends_with_a_cancellation_calls_back(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        await process.context().enqueue_batch([Step(name="1"), Step(name="2")], callback=Sum())
        first, second = await process.claim()
        await _end(process, [first])
        await process.store.endings.hand_back([second])
        assert await _callbacks(mongo) == []
        await process.store.console.cancel(second.id)
        assert len(await _callbacks(mongo)) == 1


async def test_jobs_of_a_batch_that_end_at_once_in_many_processes_call_back_once(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:
        for turn in range(1, 11):
            messages = [Step(name=str(number)) for number in range(8)]
            await process.context().enqueue_batch(messages, callback=Sum(), owner_id="usr_1")
            async with anyio.create_task_group() as tasks:
                for claimed in await process.claim(8):
                    tasks.start_soon(_end, process, [claimed])
            assert len(await _callbacks(mongo)) == turn
            await _end(process, await process.claim())


async def test_a_callback_is_not_lost_with_the_process_that_ended_the_last_job(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(batch_ids: object) -> None:
        """Before the check."""

    async with (
        job_process(mongo, [StepsActor()], running=False) as dying,
        job_process(mongo, [StepsActor()], running=False) as first,
        job_process(mongo, [StepsActor()], running=False) as second,
    ):
        monkeypatch.setattr(dying.store.dependents, "check_batches", die)
        for turn in range(1, 11):
            batch = await dying.context().enqueue_batch([Step(name="1"), Step(name="2")], callback=Sum())
            await first.store.dependents.sweep()
            assert not (await first.store.console.batch(batch)).done
            await _end(dying, await dying.claim())
            assert len(await _callbacks(mongo)) == turn - 1
            async with anyio.create_task_group() as tasks:  # the next sweeps of two processes, at once
                tasks.start_soon(first.store.dependents.sweep)
                tasks.start_soon(second.store.dependents.sweep)
            assert len(await _callbacks(mongo)) == turn
            await _end(dying, await dying.claim())


@pytest.mark.usefixtures("no_sweeps")
async def test_a_batch_of_atomic_handlers_calls_back_without_waiting_for_the_sweep(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()]) as process:
        await process.context().enqueue_batch([AtomicStep(), AtomicStep()], callback=Sum())
        await _until_called_back(process)


@pytest.mark.usefixtures("no_sweeps")
async def test_an_empty_batch_calls_back_at_once(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()]) as process:
        batch = await process.context().enqueue_batch([], callback=Sum())
        await _until_called_back(process)
        assert (await process.store.console.batch(batch)).done


async def test_a_batch_of_an_aborted_transaction_leaves_nothing(mongo: Mongo) -> None:
    async with job_process(mongo, [StepsActor()], running=False) as process:

        async def work(inner: Context) -> None:
            await inner.enqueue_batch([Step(name=str(number)) for number in range(1200)], callback=Sum())
            raise NotFound

        with pytest.raises(NotFound):
            await process.context().transaction(work)
        await process.store.dependents.sweep()
    for collection in ("jobs", "job_batches"):
        assert await mongo.collection(collection).count_documents({}) == 0
