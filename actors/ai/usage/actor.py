"""Answers what runs took, and folds what was counted."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import anyio

from promptforge.actors.ai.usage.cells import spend_of, totals_of
from promptforge.actors.ai.usage.domain import DAY, LONGEST, Rollup, start_of, stretch, summed
from promptforge.actors.ai.usage.messages import (
    Bucket,
    BucketTotals,
    DayTotals,
    FoldUsage,
    GetMyUsage,
    GetPromptAnalytics,
    PromptAnalyticsView,
    SumUsage,
    UsageView,
    VersionTotals,
)
from promptforge.actors.ai.usage.store import RollupStore
from promptforge.actors.prompts.messages import GetPrompt
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.runtime import Actor, handles

LONGEST_OWN = 366 * DAY
MOST_BUCKETS = 4000
"""In one reply: a month by hour and five versions have 3,600."""
FOLDED_AT_ONCE = 200
"""Counters in one transaction."""


class UsageActor(Actor):
    name = "usage"
    asks = ("prompts",)

    def __init__(self, rollups: RollupStore) -> None:
        self._rollups = rollups

    @handles(GetPromptAnalytics)
    async def get_prompt_analytics(self, message: GetPromptAnalytics, context: Context) -> PromptAnalyticsView:
        await context.ask(GetPrompt(prompt_id=message.prompt_id))  # of somebody else's there is no telling: 404
        bucket = message.bucket
        start, end = stretch(message.since, message.until, bucket, now=context.now(), longest=LONGEST[bucket])
        kept = Bucket.HOUR if bucket is Bucket.HOUR else Bucket.DAY
        rollups = await self._rollups.list_between(message.prompt_id, kept, start, end, version=message.version)
        view = partial(_view, message, start, end, rollups)
        return await anyio.to_thread.run_sync(view)  # thousands of sums: others are served meanwhile

    @handles(GetMyUsage)
    async def get_my_usage(self, message: GetMyUsage, context: Context) -> UsageView:
        start, end = stretch(message.since, message.until, Bucket.DAY, now=context.now(), longest=LONGEST_OWN)
        return await self._sum(context.user_id, start, end)

    @handles(SumUsage)
    async def sum_usage(self, message: SumUsage, context: Context) -> UsageView:
        return await self._sum(message.user_id, message.since, message.until)

    async def _sum(self, user_id: str, start: datetime, end: datetime) -> UsageView:
        sums = summed(await self._rollups.list_between(user_id, Bucket.DAY, start, end), Bucket.DAY)
        days = tuple(DayTotals(at, spend_of(cell)) for (at, _), cell in sums.buckets.items())
        return UsageView(start, end, spend_of(sums.whole), days)

    @handles(FoldUsage)
    async def fold_usage(self, message: FoldUsage, context: Context) -> int:
        this_hour = start_of(context.now(), Bucket.HOUR)
        folded = 0
        while ids := await self._rollups.list_counters(this_hour, FOLDED_AT_ONCE):
            folded += await context.transaction(partial(self._fold, ids))
        return folded

    async def _fold(self, ids: list[str], tx: Context) -> int:
        return await self._rollups.fold(ids, session=tx.session)


def _view(message: GetPromptAnalytics, start: datetime, end: datetime, rollups: list[Rollup]) -> PromptAnalyticsView:
    sums = summed(rollups, message.bucket, by_version=message.by_version)
    if len(sums.buckets) > MOST_BUCKETS:
        raise Invalid(f"That is more than {MOST_BUCKETS} buckets: ask for a shorter time, longer ones, or one version")
    return PromptAnalyticsView(
        prompt_id=message.prompt_id,
        bucket=message.bucket,
        start=start,
        end=end,
        totals=totals_of(sums.whole),
        versions=tuple(VersionTotals(number, totals_of(cell)) for number, cell in sums.versions.items()),
        buckets=tuple(BucketTotals(at, number, totals_of(cell)) for (at, number), cell in sums.buckets.items()),
    )
