"""Durable jobs on a real MongoDB: from the transaction that made them to their outcome."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import anyio
import pytest

from promptforge.core.clock import SystemClock
from promptforge.core.context import Context
from promptforge.core.errors import Conflict, DatabaseUnavailable, NotFound, Unavailable
from promptforge.core.jobs import Backoff, Job, JobState, MongoJobStore, endings, runner
from promptforge.core.jobs.claims import Claimed
from promptforge.core.jobs.endings import Ending
from promptforge.core.jobs.holdings import Holdings
from promptforge.core.jobs.processes import MAX_LOST, SUSPECTED_FOR_SECONDS
from promptforge.core.messages import Command, internal, requires
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal, Role
from promptforge.core.runtime import Actor, handles
from tests.support.processes import SteppedClock, TestProcess, job_process

pytestmark = pytest.mark.anyio


@internal
class Note(Command[str]):
    """Writes its text down."""

    text: str


@internal
class Fail(Command[None]):
    """Fails as often as told."""

    times: int
    retryable: bool = True


@internal
class Wait(Command[None]):
    """Waits until the test lets it go."""

    name: str


@requires(Role.OPERATOR)
class OperatorsOnly(Command[None]):
    """Needs a role when it runs, not only when it was enqueued."""


class NotesActor(Actor):
    name = "notes"

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.attempts = 0
        self.waiting: list[str] = []
        self.let_go = anyio.Event()
        self.contexts: list[Context] = []

    @handles(Note, transactional=True)
    async def note(self, message: Note, context: Context) -> str:
        self.contexts.append(context)
        self.texts.append(message.text)
        return message.text

    @handles(Fail)
    async def fail(self, message: Fail, context: Context) -> None:
        self.attempts += 1
        if self.attempts <= message.times:
            raise Unavailable("not yet") if message.retryable else Conflict("never")

    @handles(Wait)
    async def wait(self, message: Wait, context: Context) -> None:
        self.waiting.append(message.name)
        await self.let_go.wait()

    @handles(OperatorsOnly)
    async def operators_only(self, message: OperatorsOnly, context: Context) -> None:
        self.texts.append("operated")


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "seconds", lambda self, attempt, rng: 0.0)


async def _claim_one(process: TestProcess) -> Job:
    (job,) = await process.claim(1)
    return job


async def test_a_job_of_an_aborted_transaction_does_not_exist(mongo: Mongo) -> None:
    actor = NotesActor()
    async with job_process(mongo, [actor]) as process:

        async def work(inner: Context) -> None:
            await inner.enqueue(Note(text="lost"))
            raise NotFound

        with pytest.raises(NotFound):
            await process.context().transaction(work)
        kept = await process.context().enqueue(Note(text="kept"))
        await process.until_done(kept)
    assert actor.texts == ["kept"]
    assert await mongo.collection("jobs").count_documents({}) == 1


async def test_a_job_of_a_committed_transaction_runs_with_its_request_id(mongo: Mongo) -> None:
    actor = NotesActor()
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().transaction(lambda inner: inner.enqueue(Note(text="hello")))
        await process.until_done(job_id)
        job = await process.store.get(job_id)
    assert (job.result, job.attempt, job.finished_at is not None) == ("hello", 1, True)
    (context,) = actor.contexts
    assert context.request_id == "req_test"
    assert context.job is not None
    assert context.job.job_id == job_id


@pytest.mark.usefixtures("quick_retries")
async def test_a_retryable_failure_is_tried_again_and_its_error_kept(mongo: Mongo) -> None:
    actor = NotesActor()
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Fail(times=2))
        await process.until_done(job_id)
        job = await process.store.get(job_id)
    assert job.attempt == 3
    assert [(error.attempt, error.error) for error in job.errors] == [(1, "unavailable"), (2, "unavailable")]


@pytest.mark.usefixtures("quick_retries")
async def test_a_job_is_dead_after_its_last_attempt(mongo: Mongo) -> None:
    actor = NotesActor()
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Fail(times=99), max_attempts=3)
        await process.until_done(job_id, state="dead")
    assert actor.attempts == 3


async def test_a_failure_that_no_retry_can_mend_is_dead_at_once(mongo: Mongo) -> None:
    actor = NotesActor()
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Fail(times=99, retryable=False))
        await process.until_done(job_id, state="dead")
    assert actor.attempts == 1


async def test_twenty_enqueues_of_one_unique_key_at_once_make_one_job(mongo: Mongo) -> None:
    async with job_process(mongo, [NotesActor()], running=False) as process:
        ids: list[str] = []

        async def enqueue() -> None:
            ids.append(await process.context().enqueue(Note(text="once"), unique="note:1"))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(enqueue)
    assert len(set(ids)) == 1
    assert await mongo.collection("jobs").count_documents({}) == 1


async def test_a_unique_key_is_free_again_once_its_job_is_done(mongo: Mongo) -> None:
    async with job_process(mongo, [NotesActor()]) as process:
        first = await process.context().enqueue(Note(text="a"), unique="k")
        await process.until_done(first)
        second = await process.context().enqueue(Note(text="b"), unique="k")
        await process.until_done(second)
    assert first != second


async def test_a_taken_unique_key_does_not_abort_the_callers_transaction(mongo: Mongo) -> None:
    async with job_process(mongo, [NotesActor()], running=False) as process:
        live = await process.context().enqueue(Note(text="a"), unique="k")

        async def work(inner: Context) -> str:
            await mongo.collection("things").insert_one({"_id": 1}, session=inner.session)
            return await inner.enqueue(Note(text="b"), unique="k")

        assert await process.context().transaction(work) == live
    assert await mongo.collection("things").count_documents({}) == 1


async def test_several_processes_run_each_job_once(mongo: Mongo) -> None:
    actors = [NotesActor() for _ in range(3)]
    async with (
        job_process(mongo, [actors[0]]) as first,
        job_process(mongo, [actors[1]]),
        job_process(mongo, [actors[2]]),
    ):
        ids = [await first.context().enqueue(Note(text=str(number))) for number in range(120)]
        for job_id in ids:
            await first.until_done(job_id)
    seen = Counter(text for actor in actors for text in actor.texts)
    assert seen == Counter(str(number) for number in range(120))


async def test_claims_that_meet_never_take_one_job_twice(mongo: Mongo) -> None:
    async with job_process(mongo, [NotesActor()], running=False) as process:
        stores = [MongoJobStore(mongo, process.store.codec, SystemClock()) for _ in range(8)]
        for _ in range(5):
            ids = {await process.context().enqueue(Note(text="x")) for _ in range(20)}
            claimed: list[str] = []

            async def claim(store: MongoJobStore, claimed: list[str] = claimed) -> None:
                found = await store.claims.claim(store.queues["default"], 20, store.processes.id, Holdings())
                claimed.extend(job.id for job in found.jobs)

            async with anyio.create_task_group() as tasks:
                for store in stores:
                    tasks.start_soon(claim, store)
            claimed.extend(job.id for job in await process.claim(20))
            assert sorted(claimed) == sorted(ids)


async def test_a_process_is_woken_by_what_another_enqueues(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 3600.0)
    async with (
        job_process(mongo, [NotesActor()], with_feed=True) as worker,
        job_process(mongo, [NotesActor()], running=False) as other,
    ):
        await worker.until_done(await _settled(worker))
        job_id = await other.context().enqueue(Note(text="wake up"))
        await worker.until_done(job_id)


async def _settled(process: TestProcess) -> str:
    """A first job, so that the runner is known to have gone to sleep with nothing to do."""
    job_id = await process.context().enqueue(Note(text="first"))
    await process.until_done(job_id)
    await anyio.sleep(0.2)
    return job_id


async def test_the_jobs_of_a_dead_process_are_rescued_and_its_late_outcome_is_refused(mongo: Mongo) -> None:
    async with (
        job_process(mongo, [NotesActor()], running=False) as dead,
        job_process(mongo, [NotesActor()], running=False) as alive,
    ):
        await dead.store.processes.register()
        await alive.store.processes.register()
        job_id = await dead.context().enqueue(Note(text="x"))
        late = await _claim_one(dead)
        assert await alive.store.processes.rescue() == 0
        await dead.store.processes.leave()
        assert await alive.store.processes.rescue() == 1
        again = await _claim_one(alive)
        assert (again.id, again.attempt, again.lost) == (job_id, 1, 1)
        for state in (JobState.COMPLETED, JobState.DEAD, JobState.AVAILABLE):
            assert not await dead.store.endings.write_one(Ending(late, state, error="late"))
        assert await alive.store.endings.write_one(Ending(again, JobState.COMPLETED))


async def test_a_process_is_known_to_live_before_it_claims_anything(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive_at_claim: list[int] = []
    async with job_process(mongo, [NotesActor()], running=False) as process:
        claim = process.store.claims.claim

        async def watched(*arguments: Any) -> Claimed:
            alive_at_claim.append(await mongo.collection("processes").count_documents({}))
            return await claim(*arguments)

        monkeypatch.setattr(process.store.claims, "claim", watched)
        job_id = await process.context().enqueue(Note(text="x"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.runner.run)
            await process.until_done(job_id)
            await process.runner.stop(1)
    assert alive_at_claim[0] == 1


async def test_a_process_without_a_heartbeat_for_too_long_counts_as_dead(mongo: Mongo) -> None:
    async with (
        job_process(mongo, [NotesActor()], running=False) as stale,
        job_process(mongo, [NotesActor()], running=False, clock=SteppedClock()) as alive,
    ):
        await stale.store.processes.register()
        await alive.store.processes.register()
        await stale.context().enqueue(Note(text="x"))
        await _claim_one(stale)
        long_ago = alive.store.now() - timedelta(seconds=60)
        processes = mongo.collection("processes")
        silent = {"_id": stale.store.processes.id}
        await processes.update_one(silent, {"$set": {"heartbeat_at": long_ago}})
        assert await alive.store.processes.rescue() == 0  # MongoDB was away for all of them, for all we know
        await stale.store.processes.heartbeat()
        assert await processes.count_documents({"suspected_at": {"$exists": True}}) == 0
        await processes.update_one(silent, {"$set": {"heartbeat_at": long_ago}})
        assert await alive.store.processes.rescue() == 0
        assert await processes.count_documents({**silent, "suspected_at": {"$exists": True}}) == 1
        almost = alive.store.now() - timedelta(seconds=SUSPECTED_FOR_SECONDS - 3)
        await processes.update_one(silent, {"$set": {"suspected_at": almost}})
        assert await alive.store.processes.rescue() == 0
        await processes.update_one(silent, {"$set": {"suspected_at": almost - timedelta(seconds=3)}})
        assert await alive.store.processes.rescue() == 1


async def test_a_job_that_keeps_losing_its_process_is_dead_as_poison(mongo: Mongo) -> None:
    async with job_process(mongo, [NotesActor()], running=False) as process:
        job_id = await process.context().enqueue(Note(text="x"))
        for _ in range(MAX_LOST):
            await _claim_one(process)
            assert await process.store.processes.rescue() == 1  # it never sent a heartbeat, so it counts as dead
        job = await process.store.get(job_id)
    assert (job.state, job.errors[-1].error) == ("dead", "poison")


async def test_a_kind_nobody_here_knows_is_put_back_uncounted(mongo: Mongo) -> None:
    async with job_process(mongo, [NotesActor()]) as process:
        later = process.store.now() + timedelta(hours=1)
        job_id = await process.context().enqueue(Note(text="x"), run_at=later)
        strange = {"kind": "from.the.future", "due_at": process.store.now()}
        await mongo.collection("jobs").update_one({"_id": job_id}, {"$set": strange})
        with anyio.fail_after(60):
            while (job := await process.store.get(job_id)).started_at is None or job.state != "available":
                await anyio.sleep(0.01)
    assert (job.attempt, job.errors) == (0, ())
    assert job.run_at > process.store.now()


async def test_a_payload_that_does_not_fit_is_dead_at_once(mongo: Mongo) -> None:
    async with job_process(mongo, [NotesActor()]) as process:
        stored: dict[str, Any] = {"payload": {"txet": "x"}, "due_at": process.store.now()}
        later = process.store.now() + timedelta(hours=1)
        job_id = await process.context().enqueue(Note(text="x"), run_at=later)
        await mongo.collection("jobs").update_one({"_id": job_id}, {"$set": stored})
        await process.until_done(job_id, state="dead")
        job = await process.store.get(job_id)
    assert job.errors[-1].error == "undecodable_payload"


async def test_a_job_waits_for_its_time(mongo: Mongo) -> None:
    actor = NotesActor()
    async with job_process(mongo, [actor], running=False) as process:
        await process.context().enqueue(Note(text="later"), run_at=process.store.now() + timedelta(hours=1))
        await process.context().enqueue(Note(text="low"), priority=5)
        await process.context().enqueue(Note(text="high"), priority=-5)
        claimed = await process.claim(10)
    assert sorted(job.payload["text"] for job in claimed) == ["high", "low"]


async def test_a_stop_waits_for_what_runs_and_hands_back_what_does_not_end(mongo: Mongo) -> None:
    actor = NotesActor()
    async with job_process(mongo, [actor]) as process:
        job_id = await process.context().enqueue(Wait(name="slow"))
        with anyio.fail_after(60):
            while not actor.waiting:
                await anyio.sleep(0.01)
        await process.runner.stop(0.1)
        job = await process.store.get(job_id)
        actor.let_go.set()
    assert (job.state, job.attempt) == ("available", 0)


async def test_an_outcome_is_written_once_mongodb_is_back(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    async with job_process(mongo, [NotesActor()]) as process:
        complete = process.store.endings._complete_group
        failures = iter(range(3))

        async def away_for_a_while(group: list[Ending]) -> None:
            if next(failures, None) is not None:
                raise DatabaseUnavailable
            await complete(group)

        monkeypatch.setattr(process.store.endings, "_complete_group", away_for_a_while)
        monkeypatch.setattr(endings, "FIRST_RETRY_SECONDS", 0.01)
        await process.until_done(await process.context().enqueue(Note(text="x")))


async def test_a_job_runs_with_the_rights_its_principal_has_now(mongo: Mongo) -> None:
    actor = NotesActor()
    operator = Principal("usr_1", "one", frozenset({Role.USER, Role.OPERATOR}))
    rights: dict[str, Principal] = {"usr_1": operator}

    async def find(user_id: str) -> Principal | None:
        return rights.get(user_id)

    async with job_process(mongo, [actor], find_principal=find) as process:
        await process.until_done(await process.context(operator).enqueue(OperatorsOnly()))
        rights["usr_1"] = Principal("usr_1", "one")
        demoted = await process.context(operator).enqueue(OperatorsOnly())
        await process.until_done(demoted, state="dead")
        del rights["usr_1"]
        gone = await process.context(operator).enqueue(OperatorsOnly())
        await process.until_done(gone, state="dead")
    assert actor.texts == ["operated"]
