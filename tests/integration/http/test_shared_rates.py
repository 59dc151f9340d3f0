"""Budgets that all processes share, on the real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from limits import parse
from limits.aio.strategies import FixedWindowRateLimiter

from promptforge.core.mongo import Mongo
from promptforge.http.counters import COUNTERS, INDEXES, SharedCounters

pytestmark = pytest.mark.anyio
ITEM = parse("50/hour")


async def test_two_processes_count_together_and_never_beyond_the_budget(mongo: Mongo) -> None:
    limiters = [FixedWindowRateLimiter(SharedCounters(mongo)) for _ in range(2)]
    allowed = 0

    async def hit(number: int) -> None:
        nonlocal allowed
        if await limiters[number % 2].hit(ITEM, "expensive", "usr_1"):
            allowed += 1

    async with anyio.create_task_group() as tasks:
        for number in range(120):
            tasks.start_soon(hit, number)
    assert allowed == 50
    left = await limiters[0].get_window_stats(ITEM, "expensive", "usr_1")
    assert left.remaining == 0
    assert 0 < left.reset_time - datetime.now(UTC).timestamp() <= 3600
    assert await limiters[1].hit(ITEM, "expensive", "usr_2")


async def test_a_window_that_is_over_starts_anew_before_mongodb_has_removed_it(mongo: Mongo) -> None:
    counters = SharedCounters(mongo)
    assert [await counters.incr("a", 3600) for _ in range(3)] == [1, 2, 3]
    over = {"$set": {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}}
    await mongo.collection(COUNTERS).update_one({"_id": "a"}, over)
    assert await counters.get("a") == 0
    assert [await counters.incr("a", 3600) for _ in range(2)] == [1, 2]


def test_old_counters_are_removed_by_mongodb() -> None:
    assert [index.ttl_seconds for index in INDEXES[COUNTERS]] == [0]
