"""Reads of one moment on a real MongoDB."""

from __future__ import annotations

import pytest
from pymongo.errors import OperationFailure

from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.mongo import Mongo, Session, ensure_indexes, read_snapshot, run_transaction
from promptforge.core.mongo.snapshots import ATTEMPTS

pytestmark = pytest.mark.anyio


async def move(mongo: Mongo) -> None:
    async def work(session: Session) -> None:
        await mongo.collection("here").delete_one({"_id": 1}, session=session)
        await mongo.collection("there").insert_one({"_id": 1}, session=session)

    await run_transaction(mongo, work)


async def test_what_is_moved_between_two_reads_is_where_it_was_for_both(mongo: Mongo) -> None:
    await ensure_indexes(mongo, {"here": (), "there": ()})
    await mongo.collection("here").insert_one({"_id": 1})

    async def count(session: Session) -> list[int]:
        there = await mongo.collection("there").find({}, session=session).to_list(None)
        if not moved:
            await move(mongo)
            moved.append(True)
        here = await mongo.collection("here").find({}, session=session).to_list(None)
        return [len(here), len(there)]

    moved: list[bool] = []
    assert await read_snapshot(mongo, count) == [1, 0]
    assert await read_snapshot(mongo, count) == [0, 1]


async def test_what_was_acknowledged_is_in_the_next_snapshot(mongo: Mongo) -> None:
    await ensure_indexes(mongo, {"here": ()})

    async def read(session: Session) -> int:
        return len(await mongo.collection("here").find({}, session=session).to_list(None))

    for number in range(50):
        await mongo.collection("here").insert_one({"_id": number})
        assert await read_snapshot(mongo, read) == number + 1


@pytest.mark.parametrize(("failures", "attempts"), [(1, 2), (ATTEMPTS, ATTEMPTS)])
async def test_a_moment_that_cannot_be_read_any_more_is_tried_again_a_few_times(
    mongo: Mongo, failures: int, attempts: int
) -> None:
    tried: list[Session] = []

    async def read(session: Session) -> str:
        tried.append(session)
        if len(tried) <= failures:
            raise OperationFailure("SnapshotUnavailable", 246)
        return "read"

    if failures < ATTEMPTS:
        assert await read_snapshot(mongo, read) == "read"
    else:
        with pytest.raises(DatabaseUnavailable):
            await read_snapshot(mongo, read)
    assert len({id(session) for session in tried}) == len(tried) == attempts


async def test_other_errors_pass_at_once(mongo: Mongo) -> None:
    tried: list[Session] = []

    async def read(session: Session) -> None:
        tried.append(session)
        raise OperationFailure("bad query", 2)

    with pytest.raises(OperationFailure):
        await read_snapshot(mongo, read)
    assert len(tried) == 1
