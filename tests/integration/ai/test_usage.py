"""What runs took, added up: by version and time, whoever writes at once and however the runs end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import pytest

from promptforge.actors.ai.errors import ModelFailed
from promptforge.actors.ai.messages import SettleRun, SweepRuns
from promptforge.actors.ai.models.runs import HOLD_SECONDS
from promptforge.actors.ai.usage.actor import UsageActor
from promptforge.actors.ai.usage.messages import (
    Bucket,
    GetMyUsage,
    GetPromptAnalytics,
    PromptAnalyticsView,
    UsageView,
)
from promptforge.actors.ai.usage.store import (
    COUNTERS,
    ROLLUPS,
    SHARDS,
    RollupStore,
    counters_between,
    rollups_between,
)
from promptforge.actors.prompts.messages import GetPrompt, PromptKind, PromptView
from promptforge.core.context import Context
from promptforge.core.errors import Invalid, NotFound
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor, handles
from tests.integration.ai.workshop import Workshop, open_workshop
from tests.integration.billing.bank import Interrupted
from tests.support.models import ScriptedModel

pytestmark = pytest.mark.anyio

ADA, BOB, PROMPT = "usr_ada", "usr_bob", "prm_1"
COST = 200
"""Millicredits of a run: 100 tokens read and 50 written."""


class OnePrompt(Actor):
    """Stands for the prompts' feature, which has one prompt, of Ada's."""

    name = "prompts"

    @handles(GetPrompt)
    async def get_prompt(self, message: GetPrompt, context: Context) -> PromptView:
        if (message.prompt_id, context.user_id) != (PROMPT, ADA):
            raise NotFound
        now = context.now()
        return PromptView(PROMPT, "prj_1", "x", PromptKind.TEXT, None, (), "", 3, None, ADA, None, now, now)


@pytest.fixture
async def workshop(mongo: Mongo) -> AsyncIterator[Workshop]:
    async with open_workshop(mongo, others=(OnePrompt(), UsageActor(RollupStore(mongo)))) as opened:
        opened.clock.advance(seconds=(datetime(2027, 3, 3, 10, 30, tzinfo=UTC) - opened.clock.now()).total_seconds())
        await opened.user()
        yield opened


async def run(workshop: Workshop, version: int = 1, **changes: Any) -> None:
    await workshop.run(changes.pop("user_id", ADA), prompt_id=PROMPT, prompt_version=version, **changes)


async def analytics(workshop: Workshop, user_id: str = ADA, **fields: Any) -> PromptAnalyticsView:
    return await workshop.context(user_id).ask(GetPromptAnalytics(prompt_id=PROMPT, **fields))


async def mine(workshop: Workshop, user_id: str = ADA, **fields: Any) -> UsageView:
    return await workshop.context(user_id).ask(GetMyUsage(**fields))


def divided(view: PromptAnalyticsView) -> list[tuple[str, int | None, int]]:
    return [(bucket.start.strftime("%m-%dT%H"), bucket.version, bucket.totals.runs) for bucket in view.buckets]


async def test_runs_are_added_up_by_version_and_time(workshop: Workshop) -> None:
    await run(workshop)  # Wednesday, 10:30
    await run(workshop, 2)
    workshop.clock.advance(hours=1)
    await run(workshop, 2)
    workshop.clock.advance(days=5)  # Monday
    await run(workshop, 2)
    view = await analytics(workshop, bucket=Bucket.HOUR)
    assert divided(view) == [("03-03T10", None, 2), ("03-03T11", None, 1), ("03-08T11", None, 1)]
    assert (view.totals.runs, view.totals.failed, view.totals.cancelled) == (4, 0, 0)
    assert (view.totals.input_tokens, view.totals.output_tokens) == (400, 200)
    assert (view.totals.cost_microusd, view.totals.credits) == (8000, "0.8")
    assert [(version.version, version.totals.runs) for version in view.versions] == [(1, 1), (2, 3)]
    by_day = await analytics(workshop, by_version=True)
    assert divided(by_day) == [("03-03T00", 1, 1), ("03-03T00", 2, 2), ("03-08T00", 2, 1)]
    assert divided(await analytics(workshop, bucket=Bucket.WEEK)) == [("03-01T00", None, 3), ("03-08T00", None, 1)]
    one = await analytics(workshop, version=1)
    assert (divided(one), one.totals.runs, len(one.versions)) == ([("03-03T00", None, 1)], 1, 1)


async def test_from_and_to_are_widened_to_whole_buckets(workshop: Workshop) -> None:
    await run(workshop)
    now = workshop.clock.now()
    view = await analytics(workshop, bucket=Bucket.HOUR, since=now - timedelta(minutes=1), until=now)
    assert (view.start.hour, view.end.hour, view.totals.runs) == (10, 11, 1)
    before = await analytics(workshop, bucket=Bucket.HOUR, until=now.replace(minute=0))
    assert (before.end.hour, before.totals.runs, before.buckets) == (10, 0, ())


async def test_how_a_run_ends_is_counted_and_only_good_ones_have_a_latency(workshop: Workshop) -> None:
    await workshop.run(ADA, prompt_id=PROMPT, prompt_version=1, settle=False)  # and nobody settles
    workshop.clock.advance(seconds=HOLD_SECONDS + 1)
    assert await workshop.context().ask(SweepRuns()) == 1
    async with await workshop.stream(ADA, prompt_id=PROMPT, prompt_version=1) as stream:
        await anext(aiter(stream))
    workshop.model.fails = ModelFailed("broken")
    with pytest.raises(ModelFailed):
        await run(workshop)
    totals = (await analytics(workshop)).totals
    assert (totals.runs, totals.failed, totals.cancelled) == (3, 2, 1)
    assert (totals.latency_p50_ms, totals.latency_p95_ms) == (None, None)
    workshop.model.fails = None
    await run(workshop)
    latency = (await analytics(workshop)).totals.latency_p95_ms
    assert latency is not None
    assert (await mine(workshop)).totals.runs == 4


async def test_runs_about_a_prompt_are_not_runs_of_it_and_are_paid_all_the_same(workshop: Workshop) -> None:
    await run(workshop, purpose="ai.explain.v1")
    assert (await analytics(workshop)).totals.runs == 0
    assert (await mine(workshop)).totals.credits == "0.2"


async def test_each_user_sees_their_own_days(workshop: Workshop) -> None:
    await workshop.user(user_id=BOB)
    await run(workshop)
    workshop.clock.advance(days=1)
    await run(workshop)
    await run(workshop, user_id=BOB)
    view = await mine(workshop)
    assert [(day.start.day, day.totals.runs, day.totals.credits) for day in view.days] == [(3, 1, "0.2"), (4, 1, "0.2")]
    assert (view.totals.runs, view.totals.input_tokens, view.totals.cost_microusd) == (2, 200, 4000)
    assert (await mine(workshop, BOB)).totals.runs == 1
    assert (await analytics(workshop)).totals.runs == 3  # a prompt's are everybody's


async def test_somebody_elses_prompt_has_no_analytics(workshop: Workshop) -> None:
    with pytest.raises(NotFound):
        await analytics(workshop, BOB)


@pytest.mark.parametrize(
    ("bucket", "fits", "too_long"),
    [(Bucket.HOUR, 2000, 2001), (Bucket.DAY, 2000 * 24, 2001 * 24), (Bucket.WEEK, 1999 * 24, 2010 * 24)],
)
async def test_what_can_be_asked_at_once_is_bounded(
    workshop: Workshop, bucket: Bucket, fits: int, too_long: int
) -> None:
    until = datetime(2027, 3, 1, tzinfo=UTC)
    await analytics(workshop, bucket=bucket, since=until - timedelta(hours=fits), until=until)
    for since in (until - timedelta(hours=too_long), until, until + timedelta(hours=1)):
        with pytest.raises(Invalid) as caught:
            await analytics(workshop, bucket=bucket, since=since, until=until)
        assert [error.parameter for error in caught.value.errors] == ["from"]
    with pytest.raises(Invalid):
        await mine(workshop, since=until - timedelta(days=367), until=until)


async def test_a_reply_has_so_many_buckets_at_most(workshop: Workshop) -> None:
    slots: dict[str, Any] = {"slots": [*range(24)], "cells": [[1] * 7] * 24}
    days = [datetime(2027, 2, 1, tzinfo=UTC) + timedelta(days=number) for number in range(17)]
    await workshop.process.mongo.collection(ROLLUPS).insert_many(
        [
            {"_id": f"{PROMPT}:h:{day:%Y-%m-%d}:{version}", "start": day, "version": version, **slots}
            for day in days
            for version in range(1, 11)
        ]
    )
    whole: dict[str, Any] = {"bucket": Bucket.HOUR, "since": days[0], "until": days[-1] + timedelta(days=1)}
    assert len((await analytics(workshop, **whole)).buckets) == 17 * 24
    with pytest.raises(Invalid):
        await analytics(workshop, by_version=True, **whole)
    fewer = {**whole, "until": days[-1]}
    assert len((await analytics(workshop, by_version=True, **fewer)).buckets) == 3840


async def test_runs_that_end_at_once_do_not_wait_for_each_other_and_none_is_lost(mongo: Mongo) -> None:
    model = ScriptedModel(pause=0.05)
    async with open_workshop(mongo, model=model, others=(OnePrompt(), UsageActor(RollupStore(mongo)))) as workshop:
        users = [await workshop.user(user_id=f"usr_{number}") for number in range(20)]
        async with anyio.create_task_group() as tasks:
            for user in users:
                for version in (1, 2):
                    tasks.start_soon(partial(run, workshop, version, user_id=user))
        await workshop.user()
        view = await analytics(workshop)
        assert (view.totals.runs, view.totals.credits) == (40, "8")
        assert [version.totals.runs for version in view.versions] == [20, 20]
        kept = await mongo.collection(COUNTERS).find({"owner": PROMPT}).to_list(None)
        shards = {row["_id"].rpartition(":")[2] for row in kept}
        assert 1 < len(shards) <= SHARDS
        assert await workshop.verified()


async def test_a_prompt_that_is_run_one_after_the_other_has_one_counter_an_hour(workshop: Workshop) -> None:
    for _ in range(5):
        await run(workshop)
    assert await workshop.process.mongo.collection(COUNTERS).count_documents({}) == 2  # its hour, and Ada's


async def test_sums_and_usage_are_one_commit(workshop: Workshop) -> None:
    result = await workshop.run(ADA, prompt_id=PROMPT, prompt_version=1, settle=False)
    settle = SettleRun(run_id=result.run_id, usage=result.usage)
    workshop.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await workshop.context(ADA).ask(settle)
    assert await workshop.usage() == []
    assert await workshop.process.mongo.collection(COUNTERS).count_documents({}) == 0
    await workshop.context(ADA).ask(settle)
    assert (await analytics(workshop)).totals.runs == len(await workshop.usage()) == 1


async def test_a_question_reads_a_range_of_an_index_in_either_place_and_the_documents_that_it_adds_up(
    mongo: Mongo,
) -> None:
    start, owners = datetime(2027, 3, 1, tzinfo=UTC), ("prm_0", PROMPT, "prm_2")
    days = [start + timedelta(days=number) for number in range(200)]
    hours = [start + timedelta(hours=number) for number in range(200)]
    rollups = [{"_id": f"{owner}:h:{day:%Y-%m-%d}:1", "slots": []} for day in days for owner in owners]
    counters = [{"_id": f"{owner}:{hour:%Y-%m-%dT%H}:1:0"} for hour in hours for owner in owners]
    await mongo.collection(ROLLUPS).insert_many(rollups)
    await mongo.collection(COUNTERS).insert_many(counters)
    await examined(mongo, ROLLUPS, rollups_between(PROMPT, Bucket.HOUR, days[50], days[150]))
    await examined(mongo, COUNTERS, counters_between(PROMPT, hours[50], hours[150]))


async def examined(mongo: Mongo, collection: str, wanted: dict[str, Any]) -> None:
    """Raise where finding what is wanted, a hundred documents, looks at any other."""
    explain = {"explain": {"find": collection, "filter": wanted}, "verbosity": "executionStats"}
    answer = await mongo.raw.command(explain)
    figures, plan = answer["executionStats"], str(answer["queryPlanner"]["winningPlan"])
    assert (figures["nReturned"], figures["totalDocsExamined"]) == (100, 100)
    assert figures["totalKeysExamined"] <= 101
    assert "IXSCAN" in plan
    assert "COLLSCAN" not in plan
