"""What handlers and operators do to a job that runs or waits: time-outs, snoozes, cancellations, progress."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import Conflict
from promptforge.core.jobs import Action, Discard, RetryAfter, Sealer, Snooze, job
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor, handles
from tests.support.processes import SteppedClock, TestProcess, job_process

pytestmark = pytest.mark.anyio


@internal
@job(timeout_seconds=0.2, max_attempts=2)
class Slow(Command[None]):
    """Takes longer than it may, the first time."""


@internal
class Hold(Command[None]):
    """Runs until it is let go."""


@internal
class Say(Command[None]):
    """Raises what it is told."""

    what: str


@internal
@job(sensitive=True, keep_completed=None)
class Secret(Command[str]):
    """Answers its secret."""

    secret: str


@internal
class Large(Command[dict[str, str]]):
    """Answers a lot."""

    size: int


class SteeredActor(Actor):
    name = "steered"
    workers = 1

    def __init__(self) -> None:
        self.log: list[str] = []
        self.started = anyio.Event()
        self.let_go = anyio.Event()
        self.reports = 0

    @handles(Slow)
    async def slow(self, message: Slow, context: Context) -> None:
        self.log.append("slow")
        try:
            if len(self.log) == 1:
                await anyio.sleep_forever()
        finally:
            self.log.append("cleaned up")

    @handles(Hold)
    async def hold(self, message: Hold, context: Context) -> None:
        for percent in range(100):
            context.report_progress(percent, f"step {percent}")
        self.started.set()
        try:
            await self.let_go.wait()
        finally:
            self.log.append("cleaned up")

    @handles(Say)
    async def say(self, message: Say, context: Context) -> None:
        raise {"snooze": Snooze(60), "discard": Discard("nothing to do"), "later": RetryAfter(120, "busy")}[
            message.what
        ]

    @handles(Secret)
    async def secret(self, message: Secret, context: Context) -> str:
        return message.secret

    @handles(Large)
    async def large(self, message: Large, context: Context) -> dict[str, str]:
        return {"text": "x" * message.size}


async def test_an_attempt_has_its_time_and_then_makes_room(mongo: Mongo) -> None:
    actor, clock = SteeredActor(), SteppedClock()
    async with job_process(mongo, [actor], running=False, clock=clock) as process:
        job_id = await process.context().enqueue(Slow())
        await process.runner.drain()
        failed = await process.store.get(job_id)
        clock.advance(minutes=1)
        await process.runner.drain()
        found = await process.store.get(job_id)
    assert [error.error for error in failed.errors] == ["attempt_timed_out"]
    assert (found.state, found.attempt) == ("completed", 2)
    assert actor.log == ["slow", "cleaned up", "slow", "cleaned up"]


async def test_the_time_in_the_mailbox_is_not_the_attempts(mongo: Mongo) -> None:
    actor = SteeredActor()
    async with job_process(mongo, [actor], running=False) as process:
        actor.log.append("not the first")  # Slow is quick then
        held = await process.context().enqueue(Hold(), priority=-1)
        waiting = await process.context().enqueue(Slow())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.runner.drain)
            await actor.started.wait()
            await anyio.sleep(0.5)  # the only worker is busy for longer than Slow may take
            actor.let_go.set()
        assert (await process.store.get(held)).state == "completed"
        assert (await process.store.get(waiting)).attempt == 1
        assert (await process.store.get(waiting)).state == "completed"


@pytest.mark.parametrize(
    ("what", "state", "attempt", "snoozed", "seconds"),
    [("snooze", "available", 0, 1, 60), ("later", "available", 1, 0, 120), ("discard", "cancelled", 1, 0, None)],
)
async def test_a_handler_says_how_its_job_goes_on(
    mongo: Mongo, what: str, state: str, attempt: int, snoozed: int, seconds: float | None
) -> None:
    clock = SteppedClock()
    async with job_process(mongo, [SteeredActor()], running=False, clock=clock) as process:
        job_id = await process.context().enqueue(Say(what=what))
        await process.runner.drain()
        found = await process.store.get(job_id)
    assert (found.state, found.attempt, found.snoozed) == (state, attempt, snoozed)
    if seconds is not None:
        assert found.run_at == clock.now() + timedelta(seconds=seconds)
    if what == "discard":
        assert (found.errors[-1].error, found.errors[-1].detail) == ("discarded", "nothing to do")


async def _state(process: TestProcess, job_id: str, state: str) -> None:
    await process.until_done(job_id, state=state)


@pytest.mark.parametrize("heard", ["by the stream", "at the heartbeat"])
async def test_a_running_job_is_cancelled_from_another_process(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, heard: str
) -> None:
    by_stream = heard == "by the stream"
    monkeypatch.setattr("promptforge.core.jobs.upkeep.HEARTBEAT_SECONDS", 3600.0 if by_stream else 0.2)
    actor = SteeredActor()
    async with (
        job_process(mongo, [actor], with_feed=by_stream) as worker,
        job_process(mongo, [SteeredActor()], running=False) as operator,
    ):
        job_id = await worker.context().enqueue(Hold())
        await actor.started.wait()
        assert (await operator.store.console.cancel(job_id)).cancel_requested
        await worker.until_done(job_id, state="cancelled")
        with pytest.raises(Conflict):
            await operator.store.console.cancel(job_id)
        again = await worker.context().enqueue(Large(size=1))  # the worker and the slot are free again
        await worker.until_done(again)
    assert actor.log == ["cleaned up"]


async def test_a_job_that_waits_is_cancelled_at_once_and_never_runs(mongo: Mongo) -> None:
    actor = SteeredActor()
    async with job_process(mongo, [actor], running=False) as process:
        job_id = await process.context().enqueue(Hold())
        assert (await process.store.console.cancel(job_id)).state == "cancelled"
        assert await process.runner.drain() == 0
        assert (await process.store.console.retry(job_id)).state == "available"
        with pytest.raises(Conflict):
            await process.store.console.discard(job_id)
        outcome = await process.store.console.bulk(Action.CANCEL, {"kind": Hold.message_kind})
    assert (outcome.matched, outcome.changed, outcome.more) == (1, 1, False)
    assert actor.log == []


async def test_progress_is_written_now_and_then(mongo: Mongo) -> None:
    actor = SteeredActor()
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Hold())
        await _until_progress(process, job_id, lambda percent: percent == 99)
        assert (await process.store.get(job_id)).progress_message == "step 99"
        actor.let_go.set()
        await process.until_done(job_id)


async def _until_progress(process: TestProcess, job_id: str, look: Callable[[float | None], bool]) -> None:
    with anyio.fail_after(60):
        while not look((await process.store.get(job_id)).progress):
            await anyio.sleep(0.05)


async def test_a_secret_is_sealed_at_rest_kept_for_ever_and_opened_by_a_rotated_key(mongo: Mongo) -> None:
    async with job_process(mongo, [SteeredActor()], running=False) as process:
        job_id = await process.context().enqueue(Secret(secret="my password"))
        process.store.codec._sealer = Sealer(["a new secret", "a secret of tests"])
        await process.runner.drain()
        row = await mongo.collection("jobs").find_one({"_id": job_id})
        assert row is not None
        assert b"my password" not in row["payload"] + row["result"]
        assert (row["state"], "expire_at" in row) == ("completed", False)
        other = await process.context().enqueue(Secret(secret="x"))
        process.store.codec._sealer = Sealer(["a wrong one"])
        await process.runner.drain()
        assert (await process.store.get(other)).errors[-1].error == "undecodable_payload"


async def test_a_result_is_kept_unless_it_is_too_large(mongo: Mongo) -> None:
    async with job_process(mongo, [SteeredActor()], running=False) as process:
        ids = [await process.context().enqueue(Large(size=size)) for size in (3, 70_000)]
        await process.runner.drain()
        jobs = [await process.store.get(job_id) for job_id in ids]
    assert [found.result for found in jobs] == [{"text": "xxx"}, None]
    assert {found.state for found in jobs} == {"completed"}


async def test_what_ended_expires_by_its_state(mongo: Mongo) -> None:
    async with job_process(mongo, [SteeredActor()], running=False) as process:
        done = await process.context().enqueue(Large(size=1))
        dead = await process.context().enqueue(Say(what="unheard of"), max_attempts=1)
        await process.runner.drain()
        kept = {row["_id"]: row["expire_at"] - row["finished_at"] async for row in mongo.collection("jobs").find({})}
    assert kept == {done: timedelta(hours=24), dead: timedelta(days=7)}


async def test_a_claim_whose_answer_was_lost_is_given_back(mongo: Mongo) -> None:
    async with job_process(mongo, [SteeredActor()], running=False) as process:
        await process.store.processes.register()
        lost = await process.context().enqueue(Large(size=1))
        held = await process.context().enqueue(Large(size=1))
        (first,) = await process.claim(1)
        (second,) = await process.claim(1)
        assert {first.id, second.id} == {lost, held}
        process.runner.holdings.hold(second)
        process.runner.holdings.forget(first.claim or "")
        assert await process.store.processes.reconcile(process.runner.holdings) == 1
        states = [(await process.store.get(found.id)).state for found in (first, second)]
    assert states == ["available", "running"]
