"""Commands that take longer than a socket may be silent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.mongo import EmbeddedMongod, Index, Mongo, ensure_indexes, patient_rows, patiently
from promptforge.deploy.upgrade.batches import in_batches

pytestmark = pytest.mark.anyio

SOCKET_SECONDS = 2.0
"""Enough for what is quick, where a busy machine stands still for a moment."""
SLOW = {"$where": "sleep(2600) || true"}


@pytest.fixture
async def hasty(mongod: EmbeddedMongod, mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mongo]:
    """A client of the test's database that does not wait long for an answer."""
    await mongo.collection("users").insert_many([{"uid": f"u{number}"} for number in range(3)])
    monkeypatch.setattr("promptforge.core.mongo.client.SOCKET_SECONDS", SOCKET_SECONDS)
    client = await Mongo.connect(mongod.url, mongo.name)
    yield client
    client.close()


async def test_a_command_that_takes_long_is_given_up_and_one_that_may_is_not(hasty: Mongo) -> None:
    users = hasty.collection("users")
    with pytest.raises(DatabaseUnavailable):
        await users.find_one({"uid": "u1", **SLOW})
    with patiently():
        assert await users.find_one({"uid": "u1", **SLOW}) is not None
    with pytest.raises(DatabaseUnavailable):
        await users.find_one({"uid": "u1", **SLOW})


async def test_a_cursor_may_take_long_for_each_of_its_rows(hasty: Mongo) -> None:
    rows = hasty.collection("users").find(SLOW, {"uid": 1}).batch_size(1)
    assert [row["uid"] async for row in patient_rows(rows)] == ["u0", "u1", "u2"]


async def test_a_batch_of_an_upgrade_may_be_searched_for_long(hasty: Mongo) -> None:
    """What marks a batch is a transaction, and quick; what finds it looks through the collection."""
    seen: list[str] = []

    async def work(rows: object, session: object) -> None:
        seen.append("batch")

    await in_batches(hasty, "users", {"$where": "sleep(900); return this.uid == 'u1'"}, work, size=10)
    assert seen == ["batch"]


@pytest.mark.unused_database
async def test_an_index_that_takes_long_to_make_is_made(
    mongod: EmbeddedMongod, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = mongo.collection("texts")
    words = " ".join(f"word{number:05d}" for number in range(3000))
    for batch in range(8):
        await texts.insert_many([{"uid": f"{batch}-{number}", "text": f"{words} {number}"} for number in range(50)])
    monkeypatch.setattr("promptforge.core.mongo.client.SOCKET_SECONDS", 0.5)
    hasty = await Mongo.connect(mongod.url, mongo.name)
    await ensure_indexes(hasty, {"texts": (Index((("text", "text"),)),)})
    hasty.close()
    assert "text_text" in await mongo.raw["texts"].index_information()
