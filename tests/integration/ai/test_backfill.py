"""A database with runs from before there were sums of them: each counts once, however often and by however many."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest

from promptforge.actors.ai.models import store as runs
from promptforge.actors.ai.models.store import USAGE, RunStore, usage_row
from promptforge.actors.ai.usage import store as usage
from promptforge.actors.ai.usage.domain import summed
from promptforge.actors.ai.usage.messages import Bucket
from promptforge.actors.ai.usage.store import COUNTERS, ROLLUPS, RollupStore
from promptforge.core.mongo import Mongo, Session, ensure_indexes, run_migrations, run_transaction
from promptforge.deploy.migrations import MIGRATIONS
from tests.integration.ai.counting import PROMPT, START, USER, add, new_context, record

pytestmark = [pytest.mark.anyio, pytest.mark.unused_database]

RUNS = 1200
NUMBERED = {migration.number: migration for migration in MIGRATIONS}


@pytest.fixture
async def rollups(mongo: Mongo) -> RollupStore:
    """With runs that are in no sums, those of another service's, and sums of a form that is no more."""
    await ensure_indexes(mongo, {**runs.INDEXES, **usage.INDEXES})
    old = [usage_row(record(number, f"run_{number:04d}")) for number in range(RUNS)]
    foreign: list[dict[str, Any]] = [{"user_id": USER, "timestamp": START, "tokens": 5}, {"_id": "x", "tokens": 5}]
    await mongo.collection(USAGE).insert_many([*old, *foreign])
    row = {"_id": f"{PROMPT}:h:2027-03-01T00:1:0", "start": START, "version": 1, "runs": 400}
    await mongo.collection(ROLLUPS).insert_one(row)
    return RollupStore(mongo)


async def told(rollups: RollupStore, owner: str = PROMPT, bucket: Bucket = Bucket.HOUR) -> list[int]:
    found = await rollups.list_between(owner, bucket, START, START + timedelta(days=2))
    return summed(found, bucket).whole[:7]


async def backfill(mongo: Mongo) -> None:
    await NUMBERED[2].apply(mongo)


def times(number: int) -> list[int]:
    return [number, 0, 0, 100 * number, 50 * number, 2000 * number, 200 * number]


async def test_runs_from_before_there_were_sums_are_in_them(mongo: Mongo, rollups: RollupStore) -> None:
    assert await run_migrations(mongo, MIGRATIONS) == sorted(NUMBERED)
    for owner, bucket in ((PROMPT, Bucket.HOUR), (PROMPT, Bucket.DAY), (USER, Bucket.DAY)):
        assert await told(rollups, owner, bucket) == times(RUNS)
    assert await mongo.collection(ROLLUPS).count_documents({}) == 0
    await backfill(mongo)
    assert await told(rollups) == times(RUNS)
    assert await mongo.collection(USAGE).count_documents({"counted": {"$exists": False}}) == 2  # the foreign ones


async def test_a_backfill_that_was_cut_short_goes_on_where_it_was(
    mongo: Mongo, rollups: RollupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, count = 0, RunStore.count

    async def dying(self: RunStore, ids: list[str], *, session: Session) -> int:
        nonlocal counted
        counted += 1
        done = await count(self, ids, session=session)
        if counted == 2:
            raise RuntimeError("killed before the commit")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "count", dying)
        with pytest.raises(RuntimeError):
            await backfill(mongo)
    assert await told(rollups) == times(500)
    await add(RunStore(mongo, rollups), new_context(mongo), "new", range(3))  # and runs go on ending
    await backfill(mongo)
    assert await told(rollups) == times(RUNS + 3)


async def test_two_that_fill_at_once_count_each_run_once(mongo: Mongo, rollups: RollupStore) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(backfill, mongo)
    assert await told(rollups) == times(RUNS)


async def test_of_runs_some_of_which_are_counted_only_the_others_are(mongo: Mongo, rollups: RollupStore) -> None:
    store = RunStore(mongo, rollups)
    ids = [f"run_{number:04d}" for number in range(10)]

    async def count(wanted: list[str]) -> int:
        async def work(session: Session) -> int:
            return await store.count(wanted, session=session)

        return await run_transaction(mongo, work)

    assert [await count(ids[:6]), await count(ids), await count(ids)] == [6, 4, 0]
    assert await told(rollups) == times(10)
    assert await mongo.collection(COUNTERS).count_documents({"owner": USER}) == 3
