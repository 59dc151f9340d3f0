"""What was counted for each listing of a sealed prompt counts for the prompt, once, however often it is moved."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from promptforge.actors.marketplace.sealed.store import Account, AccountStore
from promptforge.core.mongo import Index, Mongo, compare_indexes, ensure_indexes, run_migrations
from promptforge.deploy.features import INDEXES
from promptforge.deploy.migrations import MIGRATIONS

pytestmark = [pytest.mark.anyio, pytest.mark.unused_database]

STOPPED = datetime(2026, 11, 1, tzinfo=UTC)


async def test_accounts_of_listings_become_accounts_of_prompts_however_often_it_runs(mongo: Mongo) -> None:
    await ensure_indexes(mongo, {"sealed_accounts": (Index((("listing_id", 1), ("head", 1)), unique=True),)})
    await ensure_indexes(mongo, INDEXES)
    for listing_id, prompt_id in (("lst_1", "prm_1"), ("lst_2", "prm_1"), ("lst_3", "prm_2")):
        await mongo.collection("marketplace_listings").insert_one({"_id": listing_id, "prompt_id": prompt_id})
    for number, content_hash in enumerate(("aa", "bb"), 1):
        row = {"_id": f"prm_1:{number}", "prompt_id": "prm_1", "version": number, "content_hash": content_hash}
        await mongo.collection("prompt_versions").insert_one(row)
    accounts = mongo.collection("sealed_accounts")
    for listing_id, changes in (
        ("lst_1", {"trials": 1, "matches": 2, "copied": {"aa": b"\x80"}, "people": ["usr_b"]}),
        ("lst_2", {"trials": 2, "copied": {"aa": b"\x01", "bb": b"\x02"}, "stopped_at": STOPPED, "barred": True}),
        ("lst_3", {"copied": {"gone": b"\x01"}}),
        ("lst_4", {"trials": 5}),
    ):
        empty: dict[str, Any] = {
            "trials": 0,
            "matches": 0,
            "copied": {},
            "stopped_at": None,
            "barred": False,
            "people": [],
        }
        key = {"_id": f"{listing_id}:usr_a", "listing_id": listing_id, "head": "usr_a"}
        await accounts.insert_one({**key, **empty, "barred": False, **changes})
    (migration,) = [one for one in MIGRATIONS if "sealed" in one.name]
    assert await run_migrations(mongo, [migration]) == [migration.number]
    await migration.apply(mongo)
    store = AccountStore(mongo)
    assert await store.get("prm_1", ["usr_a"]) == Account(
        trials=3,
        matches=2,
        copied=((1, b"\x81"), (2, b"\x02")),
        stopped_at=STOPPED,
        barred=True,
        people=("usr_b",),
    )
    assert await store.get("prm_2", ["usr_a"]) == Account()
    assert await accounts.count_documents({}) == 2
    assert [one for one in await compare_indexes(mongo, INDEXES) if one.collection == "sealed_accounts"] == []
