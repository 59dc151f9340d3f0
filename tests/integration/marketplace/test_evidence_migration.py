"""Scorecards that did not name their datasets do, and those whose dataset is gone say so."""

from __future__ import annotations

import pytest

from promptforge.core.mongo import Mongo, run_migrations
from promptforge.deploy.migrations import MIGRATIONS

pytestmark = [pytest.mark.anyio, pytest.mark.unused_database]


async def test_scorecards_get_their_datasets_however_often_it_runs(mongo: Mongo) -> None:
    await mongo.collection("datasets").insert_one({"_id": "dts_there"})
    for name in ("there", "gone"):
        await mongo.collection("evaluations").insert_one({"_id": f"evl_{name}", "dataset_id": f"dts_{name}"})
    listings = mongo.collection("marketplace_listings")
    for name in ("there", "gone", "unknown"):
        await listings.insert_one({"_id": f"lst_{name}", "evidence": {"evaluation_id": f"evl_{name}"}})
    await listings.insert_one({"_id": "lst_none", "evidence": None})
    (migration,) = [one for one in MIGRATIONS if "scorecards" in one.name]
    assert await run_migrations(mongo, [migration]) == [migration.number]
    await migration.apply(mongo)
    found = {row["_id"]: row["evidence"] for row in await listings.find({}).to_list(None)}
    told = {name: one and (one["dataset_id"], one["dataset_gone"]) for name, one in found.items()}
    assert told == {
        "lst_there": ("dts_there", False),
        "lst_gone": ("dts_gone", True),
        "lst_unknown": (None, True),
        "lst_none": None,
    }
