"""How what is held of somebody is found in collections that may hold millions: the server's own word for each query."""

from __future__ import annotations

from typing import Any

import pytest

from promptforge.actors.accounts.records import BATCH, PersonalRecords
from promptforge.core.mongo import Mongo
from promptforge.deploy.accounts import HELD
from promptforge.deploy.features import INDEXES
from tests.support.mongo import with_indexes

pytestmark = pytest.mark.anyio

OWN, OTHERS = BATCH + 50, 2_000
ME = "usr_01k8y3w5q2m7t9x4c6v1b8n0rb"
BEFORE, AFTER = "usr_01k8y3w5q2m7t9x4c6v1b8n0ra", "usr_01k8y3w5q2m7t9x4c6v1b8n0rc"


def rows(owner: str, number: int) -> list[dict[str, Any]]:
    return [{"_id": f"{owner}:{one:05}", "owner": owner} for one in range(number)]


@pytest.mark.parametrize("name", ["events", "event_rollups"])
async def test_events_and_their_sums_are_found_by_their_keys_and_those_of_others_not_looked_at(
    mongo: Mongo, name: str
) -> None:
    await with_indexes(mongo, INDEXES)
    there = mongo.collection(name)
    for owner, number in ((BEFORE, OTHERS), (ME, OWN), (AFTER, OTHERS)):
        await there.insert_many(rows(owner, number))
    records = PersonalRecords(mongo, HELD)
    await mongo.raw.command({"profile": 2})
    shown = [row async for row in records.read(name, ME)]
    erased = await records.erase(name, ME, spared=frozenset())
    await mongo.raw.command({"profile": 0})
    assert (len(shown), erased) == (OWN, OWN)
    assert await there.count_documents({}) == 2 * OTHERS
    asked = await mongo.collection("system.profile").find({"op": "query", "ns": f"{mongo.raw.name}.{name}"}).to_list(50)
    assert len(asked) >= 4, "two batches to show, and two to erase"
    assert {one["planSummary"] for one in asked} == {"IXSCAN { _id: 1 }"}
    assert max(one["keysExamined"] for one in asked) <= BATCH + 1
