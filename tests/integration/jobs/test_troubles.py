"""One job, one result, one schedule or one answer of MongoDB that is bad harms no other, and never ends the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import OutcomeUnknown, Unavailable
from promptforge.core.jobs import Queue, Schedule, endings, job
from promptforge.core.jobs.holdings import EXPECTED_SECONDS
from promptforge.core.messages import Command, Message, internal
from promptforge.core.mongo import Mongo
from promptforge.core.mongo.collections import Collection, Rows
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor, ActorState, handles
from tests.support.processes import SteppedClock, TestProcess, job_process

pytestmark = pytest.mark.anyio


@internal
class Answer(Command[object]):
    number: int = 0


@internal
class Quick(Command[None]):
    number: int = 0


@internal
class Stubborn(Command[None]):
    """Its first run cannot be interrupted."""


@internal
class Tell(Command[None]):
    percent: float = 1.0
    text: str = ""


@internal
@job(keep_dead=None)
class Precious(Command[None]):
    pass


@internal
class Outdated(Command[None], version=2):
    number: int = 0

    @classmethod
    def upgrade(cls, payload: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        return {"number": payload["it was never called that"]}


class TroubledActor(Actor):
    name = "troubled"
    workers = 500

    def __init__(self) -> None:
        self.answers: dict[int, object] = {}
        self.waiting = 0
        self.stubborn_runs = 0
        self.go = anyio.Event()

    @handles(Answer)
    async def answer(self, message: Answer, context: Context) -> object:
        self.waiting += 1
        await self.go.wait()
        return self.answers.get(message.number, "good")

    @handles(Quick)
    async def quick(self, message: Quick, context: Context) -> None:
        pass

    @handles(Precious)
    async def precious(self, message: Precious, context: Context) -> None:
        pass

    @handles(Stubborn)
    async def stubborn(self, message: Stubborn, context: Context) -> None:
        self.stubborn_runs += 1
        with anyio.CancelScope(shield=self.stubborn_runs == 1):
            await self.go.wait()
        if self.stubborn_runs > 1:
            await anyio.sleep_forever()

    @handles(Tell)
    async def tell(self, message: Tell, context: Context) -> None:
        context.report_progress(message.percent, message.text.replace("?", "\ud800"))
        await self.go.wait()

    @handles(Outdated)
    async def outdated(self, message: Outdated, context: Context) -> None:
        pass


async def _until(look: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not look():
            await anyio.sleep(0.01)


async def _answer_all(process: TestProcess, actor: TroubledActor, number: int) -> list[str]:
    """Run that many jobs that all answer at the same moment; how they ended."""
    ids = await process.context().enqueue_many([Answer(number=number) for number in range(number)])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(process.runner.drain)
        await _until(lambda: actor.waiting == number)
        actor.go.set()
    return [(await process.store.get(job_id)).state.value for job_id in ids]


# Results


@pytest.mark.parametrize("bad", [2**63, {"a\0b": 1}, {"$x": 1}, float("nan"), object()])
async def test_a_result_that_cannot_be_stored_is_left_out_and_keeps_nobody_from_completing(
    mongo: Mongo, bad: object
) -> None:
    actor = TroubledActor()
    actor.answers[9] = bad
    async with job_process(mongo, [actor], running=False) as process:
        assert await _answer_all(process, actor, 10) == ["completed"] * 10
    assert await mongo.collection("jobs").count_documents({"result": "good"}) == 9


async def test_what_mongodb_refuses_keeps_nobody_from_completing(mongo: Mongo) -> None:
    deep: list[Any] = []
    for _ in range(300):  # the client can write it, the server cannot read it
        deep = [deep]
    actor = TroubledActor()
    actor.answers[9] = deep
    async with job_process(mongo, [actor], running=False) as process:
        assert await _answer_all(process, actor, 10) == ["completed"] * 10
    assert await mongo.collection("jobs").count_documents({"result": "good"}) == 9


async def test_the_largest_results_all_at_once(mongo: Mongo) -> None:
    actor = TroubledActor()
    actor.answers = dict.fromkeys(range(400), "x" * 65_000)
    async with job_process(mongo, [actor], running=False, queues=[Queue("default", concurrency=500)]) as process:
        assert await _answer_all(process, actor, 400) == ["completed"] * 400
        assert process.store.endings.unwritten == 0
    assert await mongo.collection("jobs").count_documents({"result": "x" * 65_000}) == 400


async def test_a_result_counts_as_large_as_it_is_stored(mongo: Mongo) -> None:
    actor = TroubledActor()
    actor.answers[0] = [0] * 30_000  # 60 KB as JSON, more than four times that in MongoDB
    async with job_process(mongo, [actor], running=False) as process:
        await _answer_all(process, actor, 1)
    assert await mongo.collection("jobs").count_documents({"state": "completed", "result": {"$exists": False}}) == 1


# Starting


async def test_a_payload_that_cannot_be_upgraded_makes_its_job_dead(mongo: Mongo) -> None:
    async with job_process(mongo, [TroubledActor()]) as process:
        job_id = await process.context().enqueue(Outdated(), delay_seconds=3600)
        old = {"$set": {"version": 1, "due_at": process.store.now()}}
        await mongo.collection("jobs").update_one({"_id": job_id}, old)
        process.runner.wake_all()
        await process.until_done(job_id, state="dead")
        assert (await process.store.get(job_id)).errors[-1].error == "undecodable_payload"
        await process.until_done(await process.context().enqueue(Quick()))


async def test_a_principal_that_cannot_be_read_fails_its_job_only(mongo: Mongo) -> None:
    async def find(user_id: str) -> Principal:
        raise KeyError(user_id)

    async with job_process(mongo, [TroubledActor()], find_principal=find) as process:
        job_id = await process.context(Principal("u", "u")).enqueue(Quick(), max_attempts=1)
        await process.until_done(job_id, state="dead")
        await process.until_done(await process.context().enqueue(Quick()))


async def test_jobs_of_an_actor_that_failed_are_handed_back_without_haste(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0
    async with job_process(mongo, [TroubledActor()]) as process:
        (cell,) = process.system._cells
        take = process.store.claims._take

        async def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal taken
            taken += 1
            return await take(*arguments, **options)

        monkeypatch.setattr(process.store.claims, "_take", counted)
        monkeypatch.setattr(cell, "state", ActorState.FAILED)
        job_id = await process.context().enqueue(Quick())
        await anyio.sleep(2)
        monkeypatch.setattr(cell, "state", ActorState.RUNNING)
        await process.until_done(job_id)
        assert (await process.store.get(job_id)).attempt == 1
    assert taken < 30  # each half a second; without the delay it was hundreds


# Progress


@pytest.mark.parametrize("message", [Tell(text="?"), Tell(percent=float("inf")), Tell(percent=float("nan"))])
async def test_progress_that_cannot_be_stored_ends_nothing(mongo: Mongo, message: Tell) -> None:
    actor = TroubledActor()
    async with job_process(mongo, [actor]) as process:
        await process.context().enqueue(message)
        told = await process.context().enqueue(Tell(percent=40.0, text="forty"))
        with anyio.fail_after(60):
            while (await process.store.get(told)).progress != 40.0:
                await anyio.sleep(0.05)
        actor.go.set()
        await process.until_done(told)


# Claims and leases


async def test_a_claim_of_unknown_outcome_does_not_end_the_runner(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = iter([True])
    async with job_process(
        mongo, [TroubledActor()], running=False, queues=[Queue("default", global_limit=3)]
    ) as process:
        claim = process.store.claims._claim_limited

        async def troubled(*arguments: Any) -> Any:
            if next(unknown, False):
                raise OutcomeUnknown
            return await claim(*arguments)

        monkeypatch.setattr(process.store.claims, "_claim_limited", troubled)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.runner.run)
            await process.until_done(await process.context().enqueue(Quick()))
            await process.runner.stop(1)


async def test_claims_that_found_nothing_leave_nothing_behind(mongo: Mongo) -> None:
    async with job_process(mongo, [TroubledActor()], queues=[Queue("limited", global_limit=1)]) as process:
        for _ in range(50):
            process.runner.wake_all()
            await anyio.sleep(0.005)
        await _until(lambda: process.runner.has_room("default"))
        assert len(process.runner.holdings.tokens()) <= 1  # the one that is being asked for just now


async def test_a_job_claimed_while_leftovers_are_looked_for_is_none(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with job_process(mongo, [TroubledActor()], running=False) as process:
        await process.store.processes.register()
        await process.context().enqueue(Quick())
        to_list = Rows.to_list

        async def while_it_claims(self: Rows, length: int | None) -> list[Any]:
            monkeypatch.setattr(Rows, "to_list", to_list)
            (claimed,) = await process.claim(1)
            process.runner.holdings.hold(claimed)
            return await to_list(self, length)

        monkeypatch.setattr(Rows, "to_list", while_it_claims)
        assert await process.store.processes.reconcile(process.runner.holdings) == 0


async def test_the_end_of_a_lost_run_does_not_hide_the_run_that_followed_it(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptforge.core.jobs.upkeep.HEARTBEAT_SECONDS", 0.1)
    actor = TroubledActor()
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Stubborn())
        await _until(lambda: actor.stubborn_runs == 1)
        await process.store.processes.leave()  # taken for dead; then the same process claims it again
        await _until(lambda: actor.stubborn_runs == 2)
        actor.go.set()  # the first run ends
        await anyio.sleep(0.2)
        await process.store.console.cancel(job_id)
        await process.until_done(job_id, state="cancelled")


async def test_a_process_taken_for_dead_is_registered_again_before_it_claims(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        job_process(mongo, [TroubledActor()], running=False) as process,
        job_process(mongo, [TroubledActor()], running=False) as other,
    ):
        processes = process.store.processes
        await processes.register()
        await process.context().enqueue(Quick())
        await processes.leave()
        upsert = Collection.find_one_and_upsert

        async def while_it_claims(self: Collection, *arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(Collection, "find_one_and_upsert", upsert)
            row = await upsert(self, *arguments, **options)
            (claimed,) = await process.claim(1)
            assert claimed.process != row["_id"]  # or it would be in a name that was not known yet
            return row

        monkeypatch.setattr(Collection, "find_one_and_upsert", while_it_claims)
        assert not await processes.heartbeat()
        assert await other.store.processes.rescue() == 1


async def test_a_poisonous_job_is_kept_as_its_policy_says(mongo: Mongo) -> None:
    async with job_process(mongo, [TroubledActor()], running=False) as process:
        ids = [await process.context().enqueue(message) for message in (Precious(), Quick())]
        await mongo.collection("jobs").update_many({}, {"$set": {"lost": 9}})
        assert len(await process.claim(2)) == 2
        assert await process.store.processes.rescue() == 2
        precious, quick = [await mongo.collection("jobs").find_one({"_id": job_id}) for job_id in ids]
    assert precious is not None
    assert quick is not None
    assert (precious["state"], precious.get("expire_at")) == ("dead", None)
    assert quick["expire_at"] - quick["finished_at"] == timedelta(days=7)


# Schedules


@pytest.mark.parametrize("error", [KeyError("broken"), Unavailable("broken")])
async def test_a_broken_schedule_holds_up_no_other_and_makes_up_for_it_once_mended(
    mongo: Mongo, error: Exception
) -> None:
    broken = True

    def message(tick: datetime) -> Message[Any]:
        if broken:
            raise error
        return Quick(number=tick.hour)

    schedules = [Schedule("broken", "0 * * * *", message), Schedule("sound", "0 * * * *", lambda tick: Quick())]
    clock = SteppedClock()
    async with job_process(mongo, [TroubledActor()], running=False, clock=clock, schedules=schedules) as process:
        await process.store.schedules.start()
        clock.advance(hours=1)
        assert await process.store.schedules.fire_due(process.context()) == 1
        assert process.store.schedules.seconds_to_next() > 1
        broken = False
        clock.advance(seconds=process.store.schedules.seconds_to_next())
        assert await process.store.schedules.fire_due(process.context()) == 1
    assert await mongo.collection("jobs").count_documents({"_id": {"$regex": "^cron:broken:"}}) == 1


def test_constants_fit_each_other() -> None:
    assert endings.MOST_RESULTS_AT_ONCE * 64 * 1024 < 15 * 1024 * 1024
    assert EXPECTED_SECONDS > 30  # longer than any answer of MongoDB is waited for
