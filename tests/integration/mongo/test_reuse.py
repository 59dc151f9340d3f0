"""Databases of tests are used again, for each new one leaves some 400 open files to its mongod for minutes."""

from __future__ import annotations

import pytest

from promptforge.actors.users.store import USERS
from promptforge.core.mongo import ensure_indexes
from promptforge.deploy.features import INDEXES
from tests.support.mongo import Databases

pytestmark = pytest.mark.anyio


async def test_what_is_not_the_products_is_gone_when_a_database_is_used_again(databases: Databases) -> None:
    async with databases.empty() as mongo:
        first = mongo.name
        await ensure_indexes(mongo, {USERS: INDEXES[USERS]})
        await mongo.raw[USERS].create_index("shoe_size")
        await mongo.raw["shoes"].insert_one({})
    seen = set()
    for _ in range(100):
        async with databases.empty() as mongo:
            if mongo.name == first:
                names = set(await mongo.raw.list_collection_names())
                declared = {index.name for index in INDEXES[USERS]}
                assert names <= INDEXES.keys()
                assert set(await mongo.raw[USERS].index_information()) == {"_id_", *declared}
                return
            seen.add(mongo.name)
    raise AssertionError(f"{first} is not among the databases that are used again: {seen}")
