"""Transactions, indexes, migrations and the change feed on a real MongoDB."""

from __future__ import annotations

import math
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from pymongo.errors import OperationFailure

from promptforge.core.errors import ConfigurationError, Conflict, DatabaseUnavailable
from promptforge.core.mongo import (
    Change,
    ChangeFeed,
    DatabaseBusy,
    DuplicateKey,
    EmbeddedMongod,
    Index,
    Migration,
    Mongo,
    Session,
    compare_indexes,
    ensure_indexes,
    run_migrations,
    run_transaction,
)
from promptforge.core.mongo.changes import HEALTHY_SECONDS
from promptforge.core.mongo.transactions import backoff_ceiling

pytestmark = [pytest.mark.anyio, pytest.mark.unused_database]


async def _increment(mongo: Mongo, runs: list[int] | None = None, *, deadline: float = math.inf) -> None:
    async def work(session: Session) -> None:
        if runs is not None:
            runs.append(1)
        counters = mongo.collection("counters")
        row = await counters.find_one({"_id": "hot"}, session=session)
        number = row["number"] if row else 0
        await counters.update_one({"_id": "hot"}, {"$set": {"number": number + 1}}, upsert=True, session=session)

    await run_transaction(mongo, work, deadline=deadline)


async def test_fifty_transactions_on_one_document_all_count(mongo: Mongo) -> None:
    runs: list[int] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(_increment, mongo, runs)
    row = await mongo.collection("counters").find_one({"_id": "hot"})
    assert row == {"_id": "hot", "number": 50}
    assert len(runs) < 50 * 20  # Motor's own retry, without a pause, needs 40 runs for each


async def test_an_error_of_the_work_aborts_and_passes(mongo: Mongo) -> None:
    async def work(session: Session) -> None:
        await mongo.collection("things").insert_one({"_id": 1}, session=session)
        raise Conflict("no")

    with pytest.raises(Conflict):
        await run_transaction(mongo, work)
    assert await mongo.collection("things").find_one({"_id": 1}) is None


async def test_a_duplicate_key_aborts_and_is_recognised(mongo: Mongo) -> None:
    things = mongo.collection("things")
    await things.insert_one({"_id": 1})

    async def work(session: Session) -> None:
        await things.insert_one({"_id": 2}, session=session)
        await things.insert_one({"_id": 1}, session=session)

    with pytest.raises(DuplicateKey):
        await run_transaction(mongo, work)
    assert await things.find_one({"_id": 2}) is None


async def test_a_conflict_that_outlasts_the_deadline_is_busy(mongo: Mongo) -> None:
    await _increment(mongo)
    holding, let_go = anyio.Event(), anyio.Event()

    async def hold(session: Session) -> None:
        await mongo.collection("counters").update_one({"_id": "hot"}, {"$inc": {"number": 1}}, session=session)
        holding.set()
        await let_go.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_transaction, mongo, hold)
        await holding.wait()
        with pytest.raises(DatabaseBusy):
            await _increment(mongo, deadline=anyio.current_time() + 0.5)
        let_go.set()


async def test_a_mongodb_that_is_gone_is_said_so_within_seconds(tmp_path: Path) -> None:
    server = EmbeddedMongod.start(tmp_path)
    mongo = await Mongo.connect(server.url, "gone")
    try:
        await _increment(mongo)
        os.kill(server.pid, signal.SIGKILL)
        runs: list[int] = []
        with pytest.raises(DatabaseUnavailable) as refused:
            await _increment(mongo, runs)
        assert not isinstance(refused.value, DatabaseBusy)
        assert len(runs) <= 3  # each looks for a primary for two seconds
    finally:
        mongo.close()
        server.stop()


async def test_an_unknown_commit_is_committed_again_not_run_again(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    original = Session.commit_transaction
    failures = iter(range(2))

    async def lossy(session: Session) -> None:
        await original(session)
        if next(failures, None) is not None:  # the commit happened; its answer was lost
            raise OperationFailure("lost", 91, {"errorLabels": ["UnknownTransactionCommitResult"]})

    monkeypatch.setattr(Session, "commit_transaction", lossy)
    await _increment(mongo, runs)
    row = await mongo.collection("counters").find_one({"_id": "hot"})
    assert (row, len(runs)) == ({"_id": "hot", "number": 1}, 1)


async def test_a_cancelled_transaction_leaves_nothing(mongo: Mongo) -> None:
    inserted = anyio.Event()

    async def work(session: Session) -> None:
        await mongo.collection("things").insert_one({"_id": 1}, session=session)
        inserted.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_transaction, mongo, work)
        await inserted.wait()
        tasks.cancel_scope.cancel()
    assert await mongo.collection("things").count_documents({}) == 0
    await mongo.collection("things").update_one({"_id": 1}, {"$set": {"free": True}}, upsert=True)


def test_the_backoff_grows_to_half_a_second() -> None:
    ceilings = [backoff_ceiling(attempt) for attempt in range(100)]
    assert ceilings[:2] == [0.005, 0.0075]
    assert max(ceilings) == ceilings[-1] == 0.5


INDEXES = {"things": (Index((("a", 1), ("b", -1))), Index((("c", 1),), unique=True, partial={"c": {"$exists": True}}))}


async def test_indexes_are_made_by_many_at_once_and_compared(mongo: Mongo) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ensure_indexes, mongo, INDEXES)
    assert await compare_indexes(mongo, INDEXES) == []
    await ensure_indexes(mongo, {"things": (Index((("d", 1),)),)})
    wanted = {"things": (*INDEXES["things"][:1], Index((("c", 1),)), Index((("e", 1),)))}
    found = {(difference.index, difference.what) for difference in await compare_indexes(mongo, wanted)}
    assert found == {("c_1", "different"), ("e_1", "missing"), ("d_1", "extra")}


async def test_an_index_with_other_options_is_refused(mongo: Mongo) -> None:
    await ensure_indexes(mongo, {"things": (Index((("c", 1),)),)})
    with pytest.raises(ConfigurationError, match=r"things\.c_1"):
        await ensure_indexes(mongo, INDEXES)


async def test_migrations_are_applied_once_by_one_of_many_processes(mongo: Mongo) -> None:
    applied: list[int] = []

    def migration(number: int) -> Migration:
        async def apply(_: Mongo) -> None:
            await anyio.sleep(0.05)
            applied.append(number)

        return Migration(number, f"number {number}", apply)

    migrations = [migration(2), migration(1)]
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(run_migrations, mongo, migrations)
    assert applied == [1, 2]
    with pytest.raises(ConfigurationError, match="migration 2"):
        await run_migrations(mongo, [migration(1)])


async def test_the_lease_of_a_process_that_died_is_taken_over(mongo: Mongo) -> None:
    past = await mongo.server_time() - timedelta(seconds=1)
    await mongo.collection("migrations").insert_one({"_id": "lease", "holder": "dead", "until": past})
    ran: list[bool] = []

    async def apply(_: Mongo) -> None:
        ran.append(True)

    assert await run_migrations(mongo, [Migration(1, "one", apply)]) == [1]
    assert ran == [True]


async def _until(seen: list[Any], count: int) -> None:
    with anyio.fail_after(60):
        while len(seen) < count:
            await anyio.sleep(0.02)


async def test_the_feed_tells_of_changes_and_survives_a_bad_subscriber(mongo: Mongo) -> None:
    seen: list[Change] = []

    def broken(_: Change) -> None:
        raise ValueError("a subscriber's mistake")

    feed = ChangeFeed(mongo)
    feed.subscribe("things", broken)
    feed.subscribe("things", seen.append)
    things = mongo.collection("things")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        await feed.started.wait()
        await things.insert_one({"_id": 1, "a": 1, "b": 1})
        await things.update_one({"_id": 1}, {"$set": {"a": 2}, "$unset": {"b": ""}})
        await things.delete_one({"_id": 1})
        await mongo.collection("others").insert_one({"_id": 1})
        await things.insert_one({"_id": 2, "tags": ["long"] * 50})
        await things.update_one({"_id": 2}, [{"$set": {"tags": {"$slice": ["$tags", 2]}}}])
        await _until(seen, 5)
        with anyio.fail_after(60):
            while not feed.healthy:  # it has heard of no more than two seconds ago
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    told = [("insert", 1), ("update", 1), ("delete", 1), ("insert", 2), ("update", 2)]
    assert [(change.operation, change.document_id) for change in seen] == told
    assert seen[0].document == {"_id": 1, "a": 1, "b": 1}
    assert seen[1].updated == {"a", "b"}
    assert seen[4].updated == {"tags"}, "a list of which an update left the beginning"


async def test_the_feed_misses_nothing_when_mongod_is_killed_and_comes_back(tmp_path: Path) -> None:
    server = EmbeddedMongod.start(tmp_path)
    mongo = await Mongo.connect(server.url, "feed")
    seen: list[Change] = []
    gaps: list[bool] = []
    feed = ChangeFeed(mongo)
    feed.subscribe("things", seen.append)
    feed.on_gap(lambda: gaps.append(True))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed.run)
            await feed.started.wait()
            await mongo.collection("things").insert_one({"_id": 1})
            await _until(seen, 1)
            os.kill(server.pid, signal.SIGKILL)
            with anyio.fail_after(60):
                while server._alive():  # its threads end one by one
                    await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(server._start_again)
            second = await Mongo.connect(server.url, "feed")
            await second.collection("things").insert_one({"_id": 2})
            second.close()
            await _until(seen, 2)
            tasks.cancel_scope.cancel()
    finally:
        mongo.close()
        server.stop()
    assert [change.document_id for change in seen] == [1, 2]
    assert gaps == [True], "what was before it was first open, and nothing since"


async def test_after_a_silence_the_feed_is_trusted_once_all_that_happened_meanwhile_is_told(mongo: Mongo) -> None:
    trusted: list[bool] = []
    feed = ChangeFeed(mongo)
    feed.subscribe("things", lambda change: trusted.append(feed.healthy))
    things = mongo.collection("things")

    async def follow(number: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed.run)
            await feed.started.wait()
            await things.insert_one({"_id": f"first of {number}"})
            with anyio.fail_after(60):
                while len(trusted) < number or not feed.healthy:
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    await follow(1)
    feed.started = anyio.Event()
    feed._told_at -= HEALTHY_SECONDS
    await things.insert_many([{"_id": number} for number in range(300)])
    assert not feed.healthy
    await follow(302)
    assert trusted[1:301] == [False] * 300


async def test_a_feed_that_cannot_resume_says_so(mongo: Mongo) -> None:
    gaps: list[bool] = []
    feed = ChangeFeed(mongo)
    feed.subscribe("things", lambda change: None)
    feed.on_gap(lambda: gaps.append(True))
    feed._resume_token = {"_data": "82" + "0" * 20}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        with anyio.fail_after(60):
            await feed.started.wait()
        tasks.cancel_scope.cancel()
    assert gaps == [True, True], "when it is known, and once it is open again: until then nobody was told"
