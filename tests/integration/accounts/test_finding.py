"""How what is held of somebody is found in collections that may hold millions: the server's own word for each query."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from promptforge.actors.accounts.exports.actor import FILE_NAME
from promptforge.actors.accounts.exports.store import PersonalExportStore
from promptforge.actors.accounts.records import BATCH, PersonalRecords
from promptforge.actors.billing.ledger.sales.domain import SaleState
from promptforge.core.mongo import Files, Mongo
from promptforge.core.mongo.files import CHUNKS, FILES
from promptforge.core.personal import Subject
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
    wanted = {"op": {"$in": ["query", "getmore"]}, "ns": f"{mongo.raw.name}.{name}"}
    asked = await mongo.collection("system.profile").find(wanted).to_list(50)
    assert len(asked) >= 4, "two batches to show, and two to erase"
    assert {one["planSummary"] for one in asked} == {"IXSCAN { _id: 1 }"}
    assert max(one["keysExamined"] for one in asked) <= BATCH + 1


SCANNED = {
    "jobs": "written thousands of times a second, and kept for a day, or a week where they failed",
    "idempotency_keys": "written with every request that may be sent again, and kept for a day",
    "model_runs": "runs under way: there are as many as models run at a time",
    "stream_tickets": "kept for a minute",
}
"""Collections that are read whole to find what is somebody's, and why no index is kept for that."""


def subjects() -> list[tuple[str, Subject]]:
    """Those that are not found by `_id`."""
    return [
        (name, subject)
        for name, held in sorted(HELD.items())
        for subject in held.subjects
        if subject.path != "_id" and not subject.keyed
    ]


def plan_of(stage: dict[str, Any]) -> set[str]:
    """The names of its stages."""
    below = [stage[key] for key in ("inputStage", "queryPlan") if key in stage] + stage.get("inputStages", [])
    return {stage["stage"], *(name for one in below for name in plan_of(one))}


async def test_whatever_is_somebodys_is_found_by_an_index_but_where_none_would_pay(mongo: Mongo) -> None:
    """As the export and the erasure ask: in no order, so that there is nothing to choose but an index or all of it."""
    await with_indexes(mongo, INDEXES)
    scanned = set()
    for name, subject in subjects():
        wanted = subject.wanted(ME) if subject.of is None else {subject.path: {"$in": [ME, BEFORE]}, **subject.where}
        answer = await mongo.raw.command({"explain": {"find": name, "filter": wanted}, "verbosity": "queryPlanner"})
        stages = plan_of(answer["queryPlanner"]["winningPlan"])
        if "COLLSCAN" in stages:
            scanned.add(name)
            assert name in SCANNED, f"{name} is read whole to find {subject.path}"
        else:
            assert "IXSCAN" in stages, (name, subject.path, stages)
    assert scanned == set(SCANNED), "what is not scanned any more needs no reason"


async def test_a_sellers_sales_are_found_by_their_states_in_the_index_that_settling_reads(mongo: Mongo) -> None:
    """Whatever state there is: one that is not named would be left out of the export."""
    seller, _ = HELD["ledger_sales"].subjects
    assert set(seller.where["state"]["$in"]) == {state.value for state in SaleState}  # type: ignore[index]  # a filter
    await with_indexes(mongo, INDEXES)
    sales = mongo.collection("ledger_sales")
    for owner in (BEFORE, ME, AFTER):
        await sales.insert_many(
            [{"_id": f"{owner}:{state}", "seller_id": owner, "state": state.value} for state in SaleState]
        )
    found = [row["_id"] async for row in PersonalRecords(mongo, HELD).read("ledger_sales", ME)]
    assert sorted(found) == sorted(f"{ME}:{state}" for state in SaleState)


async def test_the_export_shows_each_document_once_however_many_ways_lead_to_it(mongo: Mongo) -> None:
    """More than a batch of each kind, and what is found through a project that is somebody's in two ways."""
    await with_indexes(mongo, INDEXES)
    ours = [{"_id": f"pur_{one:05}", "buyer_id": ME, "seller_id": ME} for one in range(OWN)]
    sold = [{"_id": f"pus_{one:05}", "buyer_id": BEFORE, "seller_id": ME} for one in range(OWN)]
    await mongo.collection("purchases").insert_many([*ours, *sold])
    project = {"_id": "prj_mine", "personal_of": ME, "left_by": ME, "members": [{"user_id": ME}]}
    await mongo.collection("projects").insert_many([project, {"_id": "prj_else", "members": [{"user_id": BEFORE}]}])
    made = [("mine", ME, OWN), ("mine", BEFORE, OWN), ("else", ME, 5), ("else", BEFORE, 5)]
    for place, author, number in made:
        key = f"{place}_{author[-1]}"
        prompts = [f"prm_{key}_{one:05}" for one in range(number)]
        about = {"project_id": f"prj_{place}", "created_by": author}
        await mongo.collection("prompts").insert_many([{"_id": one, **about} for one in prompts])
        versions = [{"_id": f"{one}:1", "prompt_id": one, "version": 1, "created_by": author} for one in prompts]
        await mongo.collection("prompt_versions").insert_many(versions)
    records = PersonalRecords(mongo, HELD)
    for name, number in (("purchases", 2 * OWN), ("projects", 1), ("prompts", 2 * OWN + 5)):
        shown = [row["_id"] async for row in records.read(name, ME)]
        assert (name, len(shown), len(set(shown))) == (name, number, number)
    shown = [row["_id"] async for row in records.read("prompt_versions", ME)]
    assert len(shown) == len(set(shown)) == 2 * OWN + 5


async def test_what_the_export_has_shown_it_does_not_remember(mongo: Mongo) -> None:
    """Five megabytes of ids pass by, and what is held in memory does not grow."""
    await with_indexes(mongo, INDEXES)
    long, number = "x" * 1_000, 5_000
    sales = [{"_id": f"pur_{long}{one:05}", "buyer_id": BEFORE, "seller_id": ME} for one in range(number)]
    await mongo.collection("purchases").insert_many(sales)
    del sales
    shown, held = 0, list[int]()
    tracemalloc.start()
    try:
        async for _ in PersonalRecords(mongo, HELD).read("purchases", ME):
            shown += 1
            if shown % 1_000 == 0:
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert shown == number
    assert held[-1] - held[0] < 1_000_000, held


async def test_files_that_nobody_names_are_looked_for_in_indexes_only(mongo: Mongo) -> None:
    """Packages and others' exports are files too, and there may be many: none of those is read."""
    await with_indexes(mongo, INDEXES)
    now = datetime.now(UTC)
    old = now - timedelta(days=3)
    files, chunks = mongo.collection(FILES), mongo.collection(CHUNKS)
    named = [(f"mine:{number}", FILE_NAME) for number in range(5)] + [(f"x:{number}", "x.zip") for number in range(900)]
    shape = {"length": 1, "metadata": {"sha256": ""}}
    await files.insert_many([{"_id": one, "filename": name, "uploadDate": old, **shape} for one, name in named])
    began = ObjectId.from_datetime(old)
    pieces = [{"files_id": one, "n": 0, "data": b"x"} for one, _ in named]
    await chunks.insert_many([*pieces, {"_id": began, "files_id": "lost", "n": 0, "data": b"x"}])
    await mongo.raw.command({"profile": 2})
    store = Files(mongo)
    found = [one async for some in store.list_named(FILE_NAME, now, 2) for one in some]
    assert await PersonalExportStore(mongo).are_named(found) == set()
    swept = await store.delete_unclosed(now)
    await mongo.raw.command({"profile": 0})
    assert (sorted(found), swept) == ([f"mine:{number}" for number in range(5)], 1)
    ours = {
        "op": {"$in": ["query", "getmore", "command"]},
        "ns": {
            "$in": [f"{mongo.raw.name}.{FILES}", f"{mongo.raw.name}.{CHUNKS}", f"{mongo.raw.name}.personal_exports"]
        },
    }
    asked = [one for one in await mongo.collection("system.profile").find(ours).to_list(100) if "planSummary" in one]
    assert len(asked) >= 4
    for one in asked:
        assert "COLLSCAN" not in one["planSummary"], one["planSummary"]
        reads_pieces = one["ns"].endswith(CHUNKS)
        assert one["docsExamined"] <= (2 * len(named) if reads_pieces else 10), (
            one["planSummary"],
            one["docsExamined"],
        )
