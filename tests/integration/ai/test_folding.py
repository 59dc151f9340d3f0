"""Counters become roll-ups: nothing is lost and nothing doubled, whoever adds, folds, reads or dies meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import pytest

from promptforge.actors.ai.models import store as runs
from promptforge.actors.ai.models.store import RunStore
from promptforge.actors.ai.usage import store as usage
from promptforge.actors.ai.usage.domain import Sums, summed
from promptforge.actors.ai.usage.messages import Bucket
from promptforge.actors.ai.usage.store import COUNTERS, ROLLUPS, RollupStore
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.mongo import EmbeddedMongod, Mongo, ensure_indexes, run_transaction
from tests.integration.ai.counting import HOURS, PROMPT, RUNS, START, USER, add, fold, new_context, record

pytestmark = pytest.mark.anyio

WEEK = START + timedelta(days=7)


@pytest.fixture
async def rollups(mongo: Mongo) -> RollupStore:
    await ensure_indexes(mongo, {**runs.INDEXES, **usage.INDEXES})
    return RollupStore(mongo)


async def sums(rollups: RollupStore, bucket: Bucket, owner: str = PROMPT, **fields: Any) -> Sums:
    return summed(await rollups.list_between(owner, bucket, START, WEEK, **fields), bucket, by_version=True)


async def everything(rollups: RollupStore) -> list[Sums]:
    return [
        await sums(rollups, Bucket.HOUR),
        await sums(rollups, Bucket.DAY),
        await sums(rollups, Bucket.HOUR, version=2),
        await sums(rollups, Bucket.DAY, owner=USER),
    ]


async def counters(mongo: Mongo) -> int:
    return await mongo.collection(COUNTERS).count_documents({})


async def test_folding_changes_no_answer_and_is_done_once(mongo: Mongo, rollups: RollupStore) -> None:
    store, context = RunStore(mongo, rollups), new_context(mongo)
    await add(store, context, "a", range(30))
    before = await everything(rollups)
    assert before[0].whole[0] == before[3].whole[0] == 30
    assert await fold(rollups, context) == HOURS * 3  # two versions, and the user
    assert await counters(mongo) == 0
    assert await everything(rollups) == before
    assert await fold(rollups, context) == 0
    assert await everything(rollups) == before
    assert await mongo.collection(ROLLUPS).count_documents({}) == 5  # the user's month, two versions' day and month


async def test_what_is_late_for_an_hour_that_was_folded_counts_and_is_folded_too(
    mongo: Mongo, rollups: RollupStore
) -> None:
    store, context = RunStore(mongo, rollups), new_context(mongo)
    await add(store, context, "a", range(6))
    await fold(rollups, context)
    await add(store, context, "late", range(6))
    late = await everything(rollups)
    assert [one.whole[0] for one in late] == [12, 12, 6, 12]
    await fold(rollups, context)
    assert await everything(rollups) == late
    assert await counters(mongo) == 0


async def test_a_fold_that_is_cut_short_has_changed_nothing(mongo: Mongo, rollups: RollupStore) -> None:
    store, context = RunStore(mongo, rollups), new_context(mongo)
    await add(store, context, "a", range(6))
    before = await everything(rollups)
    ids = await rollups.list_counters(WEEK, 100)

    async def dies(tx: Context) -> None:
        await rollups.fold(ids, session=tx.session)
        raise RuntimeError("the process was killed before it could commit")

    with pytest.raises(RuntimeError):
        await context.transaction(dies)
    assert await everything(rollups) == before
    assert await counters(mongo) == len(ids)
    assert await mongo.collection(ROLLUPS).count_documents({}) == 0


async def test_hours_that_are_not_over_are_left_alone(mongo: Mongo, rollups: RollupStore) -> None:
    await add(RunStore(mongo, rollups), new_context(mongo), "a", range(HOURS))
    assert {one.split(":")[1] for one in await rollups.list_counters(START + timedelta(hours=1), 100)} == {
        "2027-03-01T00"
    }


@asynccontextmanager
async def competitors(mongod: EmbeddedMongod, mongo: Mongo) -> AsyncIterator[list[subprocess.Popen[str]]]:
    """Two processes, begun at the same moment."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.ai.counting", mongod.url, mongo.name, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert (await anyio.to_thread.run_sync(process.stdout.readline)).strip() == "ready"
        go_on(processes)
        yield processes
    finally:
        for process in processes:
            process.kill()
            with suppress(BrokenPipeError):  # what it was told and has not heard
                process.communicate()


def go_on(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it is done
            process.stdin.write("go\n")
            process.stdin.flush()


async def test_two_processes_that_add_and_fold_at_once_lose_no_run_and_double_none(
    mongod: EmbeddedMongod, mongo: Mongo, rollups: RollupStore
) -> None:
    told: list[int] = []
    async with competitors(mongod, mongo) as processes:
        with anyio.fail_after(300):
            while any(process.poll() is None for process in processes):
                hours, days = await sums(rollups, Bucket.HOUR), await sums(rollups, Bucket.DAY)
                told += [hours.whole[0], days.whole[0]]
                go_on(processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert told == sorted(told)  # nobody saw a run twice, or not any more
    assert len({*told}) > 10
    whole = await everything(rollups)
    assert [one.whole[0] for one in whole] == [2 * RUNS, 2 * RUNS, RUNS, 2 * RUNS]
    assert await mongo.collection(ROLLUPS).count_documents({}) > 0
    await fold(rollups, new_context(mongo))
    assert await everything(rollups) == whole
    assert await counters(mongo) == 0


async def test_processes_that_are_killed_leave_the_sums_of_what_they_wrote(
    mongod: EmbeddedMongod, mongo: Mongo, rollups: RollupStore
) -> None:
    records, folded = mongo.collection(runs.USAGE), mongo.collection(ROLLUPS)
    async with competitors(mongod, mongo) as processes:
        while await folded.count_documents({}) == 0:
            await anyio.sleep(0.01)
        for process in processes:
            process.kill()
    # What they have open is in the way until the server drops it, which it does after a minute by itself.
    await mongo.raw.client.admin.command({"killAllSessions": []})
    written = await records.count_documents({})
    assert 0 < written < 2 * RUNS
    for _ in range(2):
        for bucket, owner in ((Bucket.HOUR, PROMPT), (Bucket.DAY, PROMPT), (Bucket.DAY, USER)):
            assert (await sums(rollups, bucket, owner=owner)).whole[0] == written
        await fold(rollups, new_context(mongo))
    assert await counters(mongo) == 0


async def test_too_much_for_one_question_is_said_and_a_version_alone_is_less(
    mongo: Mongo, rollups: RollupStore
) -> None:
    slots: dict[str, Any] = {"slots": [*range(24)], "cells": [[1] * 7] * 24}
    days = [START + timedelta(days=number) for number in range(7)]
    await mongo.collection(ROLLUPS).insert_many(
        [
            {"_id": f"{PROMPT}:h:{day:%Y-%m-%d}:{version}", "start": day, "version": version, **slots}
            for day in days
            for version in range(1, 61)
        ]
    )
    with pytest.raises(Invalid):
        await sums(rollups, Bucket.HOUR)
    assert (await sums(rollups, Bucket.HOUR, version=60)).whole[0] == 7 * 24


async def test_only_part_of_a_rollup_is_told_where_only_part_was_asked_for(mongo: Mongo, rollups: RollupStore) -> None:
    context = new_context(mongo)
    await add(RunStore(mongo, rollups), context, "a", range(6))
    await fold(rollups, context)
    one, two = START + timedelta(hours=1), START + timedelta(hours=2)
    found = await rollups.list_between(PROMPT, Bucket.HOUR, one, two)
    assert {rollup.start for rollup in found} == {one}
    assert await rollups.list_between(PROMPT, Bucket.DAY, START + timedelta(days=1), WEEK) == []


async def test_many_records_are_added_as_they_would_be_one_by_one(mongo: Mongo, rollups: RollupStore) -> None:
    context = new_context(mongo)
    await add(RunStore(mongo, rollups), context, "a", range(20))
    one_by_one = await everything(rollups)
    await mongo.collection(COUNTERS).delete_many({})
    records = [record(number, f"run_{number}") for number in range(20)]
    await run_transaction(mongo, partial(_add_many, rollups, records))
    assert await everything(rollups) == one_by_one


async def _add_many(rollups: RollupStore, records: list[Any], session: Any) -> None:
    await rollups.add_many(records, session=session)
