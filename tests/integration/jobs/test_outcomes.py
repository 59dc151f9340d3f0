"""How a job goes on: later, again, never, or with what kept of it; and what operators make of it afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import anyio
import bson
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import ConfigurationError, Conflict, NotFound, Unavailable
from promptforge.core.jobs import Action, Backoff, Discard, Job, Queue, RetryAfter, Sealer, Snooze, job
from promptforge.core.jobs.codec import MAX_RESULT_BYTES
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor, handles
from tests.support.processes import SteppedClock, TestProcess, job_process

pytestmark = pytest.mark.anyio

LONGEST_TEXT = MAX_RESULT_BYTES - len(bson.encode({"result": ""}))


@dataclass(frozen=True)
class Total:
    """What `Answer` may answer."""

    cents: int
    currency: str


@internal
@job(max_attempts=3, backoff=Backoff(first=10, factor=3, longest=20))
class Raise(Command[None]):
    """Raises what the actor has next, until there is nothing left."""


@internal
@job(keep_completed=timedelta(minutes=1), keep_dead=None)
class Keep(Command[None]):
    """Raises what the actor has next, and is kept by rules of its own."""


@internal
@job(timeout_seconds=0.2, max_attempts=2, backoff=Backoff(first=0.01), queue="narrow")
class Endless(Command[None]):
    """Never ends by itself."""


@internal
class Hold(Command[None]):
    """Runs until it is let go, and takes a moment to clean up."""

    name: str = "hold"


@internal
class Answer(Command[object]):
    """Answers what the actor has to say."""


@internal
class Report(Command[None]):
    """Reports more progress than anybody wants to read."""


@internal
@job(sensitive=True)
class Secret(Command[str]):
    """Answers its secret backwards."""

    secret: str


class OutcomesActor(Actor):
    name = "outcomes"
    workers = 1
    mailbox_size = 1

    def __init__(self) -> None:
        self.raises: list[Exception] = []
        self.answer: object = None
        self.runs: list[int] = []
        self.log: list[str] = []
        self.let_go = anyio.Event()

    @handles(Raise)
    async def raise_next(self, message: Raise, context: Context) -> None:
        self.runs.append(context.job.attempt if context.job else 0)
        if self.raises:
            raise self.raises.pop(0)

    @handles(Keep)
    async def keep(self, message: Keep, context: Context) -> None:
        await self.raise_next(Raise(), context)

    @handles(Endless)
    async def endless(self, message: Endless, context: Context) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.log.append("cleaned up")

    @handles(Hold)
    async def hold(self, message: Hold, context: Context) -> None:
        self.log.append(message.name)
        try:
            await self.let_go.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
            self.log.append("cleaned up")

    @handles(Answer)
    async def give_answer(self, message: Answer, context: Context) -> object:
        return self.answer

    @handles(Report)
    async def report(self, message: Report, context: Context) -> None:
        for number in range(120):
            context.report_progress(number * 2 - 20, "x" * 1000)
            await anyio.sleep(0.01)
        await self.let_go.wait()

    @handles(Secret)
    async def secret(self, message: Secret, context: Context) -> str:
        return message.secret[::-1]


async def _drained(process: TestProcess, job_id: str) -> Job:
    await process.runner.drain()
    return await process.store.get(job_id)


async def _until(look: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not look():
            await anyio.sleep(0.01)


async def test_a_snoozed_job_runs_again_when_it_said_and_has_all_its_attempts(mongo: Mongo) -> None:
    actor, clock = OutcomesActor(), SteppedClock()
    actor.raises = [Snooze(60), Snooze(60)]
    async with job_process(mongo, [actor], running=False, clock=clock) as process:
        job_id = await process.context().enqueue(Raise(), max_attempts=1)
        await process.runner.drain()
        clock.advance(seconds=59)
        assert await process.runner.drain() == 0
        clock.advance(seconds=1)
        await process.runner.drain()
        clock.advance(seconds=60)
        found = await _drained(process, job_id)
    assert (found.state, found.attempt, found.snoozed, found.errors) == ("completed", 1, 2, ())
    assert actor.runs == [1, 1, 1]


async def test_retry_after_overrules_the_backoff_and_counts(mongo: Mongo) -> None:
    actor, clock = OutcomesActor(), SteppedClock()
    actor.raises = [RetryAfter(0.5, "busy"), RetryAfter(7200, "still busy")]
    async with job_process(mongo, [actor], running=False, clock=clock) as process:
        job_id = await process.context().enqueue(Raise())
        first = await _drained(process, job_id)
        assert (first.run_at - clock.now(), first.attempt) == (timedelta(seconds=0.5), 1)
        clock.advance(seconds=0.5)
        second = await _drained(process, job_id)
        assert (second.run_at - clock.now(), second.attempt) == (timedelta(hours=2), 2)
        clock.advance(hours=2)
        third = await _drained(process, job_id)
    assert third.state == "completed"
    assert [error.detail for error in third.errors] == ["busy", "still busy"]


async def test_the_backoff_grows_to_its_longest_until_the_attempts_are_used_up(mongo: Mongo) -> None:
    actor, clock = OutcomesActor(), SteppedClock()
    actor.raises = [Unavailable("no"), RuntimeError("it quotes a payload"), Unavailable("no"), Unavailable("no")]
    delays: list[float] = []
    async with job_process(mongo, [actor], running=False, clock=clock) as process:
        job_id = await process.context().enqueue(Raise())
        while (found := await _drained(process, job_id)).state == "available":
            delays.append((found.run_at - clock.now()).total_seconds())
            clock.advance(seconds=delays[-1])
    assert 5 <= delays[0] <= 10 <= delays[1] <= 20
    assert (found.state, found.attempt, actor.runs) == ("dead", 3, [1, 2, 3])
    errors = [(error.attempt, error.error) for error in found.errors]
    assert errors == [(1, "unavailable"), (2, "RuntimeError"), (3, "unavailable")]
    assert "payload" not in found.errors[1].detail


async def test_an_attempt_past_its_time_is_cancelled_and_its_slot_is_free(mongo: Mongo) -> None:
    actor = OutcomesActor()
    async with job_process(mongo, [actor], queues=[Queue("narrow", concurrency=1)]) as process:
        endless = await process.context().enqueue(Endless())
        await process.until_done(endless, state="dead")
        found = await process.store.get(endless)
        await process.until_done(await process.context().enqueue(Answer(), queue="narrow"))
    assert actor.log == ["cleaned up", "cleaned up"]
    assert [error.error for error in found.errors] == ["attempt_timed_out", "attempt_timed_out"]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (Total(1999, "EUR"), {"cents": 1999, "currency": "EUR"}),
        ("x" * LONGEST_TEXT, "x" * LONGEST_TEXT),
        ("x" * (LONGEST_TEXT + 1), None),
        (object(), None),
    ],
    ids=["a dataclass", "as large as it may be", "one byte larger", "no JSON"],
)
async def test_what_is_kept_of_an_answer(mongo: Mongo, answer: object, kept: object) -> None:
    actor = OutcomesActor()
    actor.answer = answer
    async with job_process(mongo, [actor], running=False) as process:
        found = await _drained(process, await process.context().enqueue(Answer()))
    assert (found.state, found.result) == ("completed", kept)


async def test_progress_is_written_twice_a_second_within_its_bounds(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = OutcomesActor()
    async with job_process(mongo, [actor]) as process:
        written: list[tuple[float, str | None]] = []
        begun: list[float] = []
        note = process.store.console.note_progress

        async def noted(held: Job, percent: float, message: str | None) -> None:
            written.append((percent, message))
            begun.append(anyio.current_time())
            await note(held, percent, message)

        monkeypatch.setattr(process.store.console, "note_progress", noted)
        job_id = await process.context().enqueue(Report())
        with anyio.fail_after(60):
            while (await process.store.get(job_id)).progress != 100:
                await anyio.sleep(0.05)
        actor.let_go.set()
        await process.until_done(job_id)
        found = await process.store.get(job_id)
    assert all(0 <= percent <= 100 and message == "x" * 200 for percent, message in written)
    assert all(later - earlier > 0.49 for earlier, later in pairwise(begun))  # of 120 reports
    assert found.progress == written[-1][0] == 100


async def test_a_job_cancelled_in_the_mailbox_never_starts(mongo: Mongo) -> None:
    actor = OutcomesActor()
    async with job_process(mongo, [actor], with_feed=True) as process:
        first = await process.context().enqueue(Hold(name="first"))
        await _until(lambda: actor.log == ["first"])
        second = await process.context().enqueue(Hold(name="second"))
        await process.until_done(second, state="running")
        await process.store.console.cancel(second)
        await process.until_done(second, state="cancelled")  # while the only worker is still busy
        actor.let_go.set()
        await process.until_done(first)
    assert actor.log == ["first", "cleaned up"]


async def test_a_cancelled_job_is_over_once_its_handler_has_cleaned_up(mongo: Mongo) -> None:
    actor = OutcomesActor()
    async with job_process(mongo, [actor], with_feed=True) as worker:
        job_id = await worker.context().enqueue(Hold())
        await _until(lambda: actor.log == ["hold"])
        asked = await worker.store.console.cancel(job_id)
        assert (asked.state, asked.cancel_requested) == ("running", True)
        await worker.until_done(job_id, state="cancelled")
        assert actor.log == ["hold", "cleaned up"]
        found = await worker.store.get(job_id)
    assert (found.claim, [error.error for error in found.errors]) == (None, ["job_cancelled"])


async def _dead(process: TestProcess, actor: OutcomesActor) -> str:
    actor.raises = [Conflict("never")]
    job_id = await process.context().enqueue(Raise())
    assert (await _drained(process, job_id)).state == "dead"
    return job_id


async def _cancelled(process: TestProcess, actor: OutcomesActor) -> str:
    job_id = await process.context().enqueue(Raise())
    await process.store.console.cancel(job_id)
    return job_id


async def _scheduled(process: TestProcess, actor: OutcomesActor) -> str:
    return await process.context().enqueue(Raise(), delay_seconds=3600)


async def _running(process: TestProcess, actor: OutcomesActor) -> str:
    job_id = await process.context().enqueue(Raise())
    await process.claim(1)
    return job_id


async def _completed(process: TestProcess, actor: OutcomesActor) -> str:
    return (await _drained(process, await process.context().enqueue(Raise()))).id


Made = Callable[[TestProcess, OutcomesActor], Awaitable[str]]


@pytest.mark.parametrize(("made", "errors"), [(_dead, 1), (_cancelled, 0), (_scheduled, 0)])
async def test_a_job_that_is_retried_runs_now_and_from_its_first_attempt(mongo: Mongo, made: Made, errors: int) -> None:
    actor = OutcomesActor()
    async with job_process(mongo, [actor], running=False) as process:
        job_id = await made(process, actor)
        again = await process.store.console.retry(job_id)
        assert (again.state, again.attempt, again.finished_at) == ("available", 0, None)
        found = await _drained(process, job_id)
        row = await mongo.collection("jobs").find_one({"_id": job_id})
    assert (found.state, found.attempt, len(found.errors)) == ("completed", 1, errors)
    assert row is not None
    assert row["expire_at"] - row["finished_at"] == timedelta(hours=24)


@pytest.mark.parametrize("made", [_running, _completed])
async def test_a_job_that_runs_or_has_completed_is_not_retried(mongo: Mongo, made: Made) -> None:
    actor = OutcomesActor()
    async with job_process(mongo, [actor], running=False) as process:
        job_id = await made(process, actor)
        before = await mongo.collection("jobs").find_one({"_id": job_id})
        with pytest.raises(Conflict):
            await process.store.console.retry(job_id)
        assert await mongo.collection("jobs").find_one({"_id": job_id}) == before


async def test_only_what_is_dead_is_discarded_and_by_its_owner_only(mongo: Mongo) -> None:
    actor = OutcomesActor()
    async with job_process(mongo, [actor], running=False) as process:
        console = process.store.console
        for made in (_cancelled, _scheduled, _running, _completed):
            with pytest.raises(Conflict):
                await console.discard(await made(process, actor))
        dead = await _dead(process, actor)
        with pytest.raises(NotFound):
            await console.discard(dead, owner_id="usr_other")
        assert (await console.discard(dead)).state == "cancelled"


async def test_many_jobs_at_once_are_chosen_by_a_filter(mongo: Mongo) -> None:
    async with job_process(mongo, [OutcomesActor()], running=False) as process:
        mine, yours = (process.context(Principal(f"usr_{name}", name)) for name in ("me", "you"))
        await mine.enqueue_many([Raise() for _ in range(1200)])
        await yours.enqueue_many([Raise() for _ in range(3)])
        outcome = await process.store.console.bulk(Action.CANCEL, {"owner_id": "usr_me"})
        assert (outcome.matched, outcome.changed, outcome.more) == (1200, 1200, False)
        assert await mongo.collection("jobs").count_documents({"state": "cancelled", "owner_id": "usr_me"}) == 1200
        again = await process.store.console.bulk(Action.RETRY, {"owner_id": "usr_me"})
        assert again.changed == 1200
        assert await mongo.collection("jobs").count_documents({"state": "available"}) == 1203


async def test_a_job_that_finds_the_mailbox_full_is_put_back_uncounted(mongo: Mongo) -> None:
    actor = OutcomesActor()
    async with job_process(mongo, [actor]) as process:
        held = await process.context().enqueue(Hold())
        await _until(lambda: actor.log == ["hold"])
        waiting = await process.context().enqueue(Answer())  # in the only place of the mailbox
        await process.until_done(waiting, state="running")
        full = await process.context().enqueue(Raise())
        await process.until_done(full, state="available")
        found = await process.store.get(full)
        assert (found.attempt, found.errors, found.run_at > found.created_at) == (0, (), True)
        actor.let_go.set()
        for job_id in (held, waiting, full):
            await process.until_done(job_id)
        assert (await process.store.get(full)).attempt == 1


@pytest.mark.parametrize(
    ("raised", "state", "kept"),
    [
        (None, "completed", timedelta(minutes=1)),
        (Discard(), "cancelled", timedelta(minutes=1)),
        (Conflict(), "dead", None),
    ],
)
async def test_how_long_a_job_is_kept_is_its_policys(
    mongo: Mongo, raised: Exception | None, state: str, kept: timedelta | None
) -> None:
    actor = OutcomesActor()
    actor.raises = [raised] if raised else []
    async with job_process(mongo, [actor], running=False) as process:
        await _drained(process, await process.context().enqueue(Keep()))
        row = await mongo.collection("jobs").find_one({})
    assert row is not None
    assert row["state"] == state
    assert (row["expire_at"] - row["finished_at"] if kept else row.get("expire_at")) == kept


async def test_payload_and_result_of_a_sensitive_job_are_sealed_by_the_newest_key(mongo: Mongo) -> None:
    async with job_process(mongo, [OutcomesActor()], running=False) as process:
        codec = process.store.codec
        codec._sealer = Sealer(["new", "a secret of tests"])
        job_id = await process.context().enqueue(Secret(secret="my password"))
        await process.runner.drain()
        row = await mongo.collection("jobs").find_one({"_id": job_id})
        assert row is not None
        assert not any(word in str(row) for word in ("my password", "drowssap ym"))
        assert codec.decode(Secret.message_kind, 1, row["payload"]) == Secret(secret="my password")
        assert Sealer(["newer", "new"]).unseal(row["result"]) == b'"drowssap ym"'
        assert Sealer(["a secret of tests"]).unseal(row["payload"]) is None
        codec._sealer = Sealer(())
        with pytest.raises(ConfigurationError):
            await process.context().enqueue(Secret(secret="x"))
