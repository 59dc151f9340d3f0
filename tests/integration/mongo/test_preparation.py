"""What is done before the indexes are made: one process at a time, until the migration is recorded."""

from __future__ import annotations

import anyio
import pytest

from promptforge.core.errors import ConfigurationError
from promptforge.core.mongo import (
    Index,
    Migration,
    Mongo,
    compare_indexes,
    drop_indexes_in_the_way,
    ensure_indexes,
    prepare_migrations,
    run_migrations,
)

pytestmark = [pytest.mark.anyio, pytest.mark.unused_database]

DECLARED = {"things": (Index((("a", 1),), unique=True), Index((("b", 1), ("c", -1))), Index((("d", 1),)))}


async def test_indexes_of_the_same_name_or_keys_make_room_and_others_stay(mongo: Mongo) -> None:
    things = mongo.raw["things"]
    await things.create_index([("a", 1)], sparse=True)
    await things.create_index([("b", 1), ("c", -1)], name="mine")
    await things.create_index([("d", 1)])
    await things.create_index([("e", 1)])
    with pytest.raises(ConfigurationError):
        await ensure_indexes(mongo, DECLARED)
    assert sorted(await drop_indexes_in_the_way(mongo, DECLARED)) == ["things.a_1", "things.mine"]
    await ensure_indexes(mongo, DECLARED)
    assert await drop_indexes_in_the_way(mongo, DECLARED) == []
    assert [str(one) for one in await compare_indexes(mongo, DECLARED)] == ["index things.e_1 is extra"]


async def test_documents_that_a_unique_index_does_not_allow_stop_the_start_with_its_fields(mongo: Mongo) -> None:
    await mongo.collection("things").insert_many([{"a": 1}, {"a": 1}])
    with pytest.raises(ConfigurationError, match=r"things holds several documents with the same a, .*change or remove"):
        await ensure_indexes(mongo, DECLARED)


async def test_one_process_at_a_time_prepares_and_nobody_once_the_migration_is_recorded(mongo: Mongo) -> None:
    inside = most = times = 0

    async def prepare(_: Mongo) -> None:
        nonlocal inside, most, times
        inside, times = inside + 1, times + 1
        most = max(most, inside)
        await anyio.sleep(0.05)
        inside -= 1

    async def apply(_: Mongo) -> None:
        assert times > 0

    migrations = [Migration(1, "something", apply, prepare=prepare), Migration(2, "without", apply)]
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(prepare_migrations, mongo, migrations)
    assert (times, most) == (3, 1)
    assert await run_migrations(mongo, migrations) == [1, 2]
    await prepare_migrations(mongo, migrations)
    assert times == 3
