"""Answers what runs took."""

from __future__ import annotations

from functools import partial

import anyio

from promptforge.actors.ai.usage.domain import DAY, LONGEST, stretch, summed
from promptforge.actors.ai.usage.messages import (
    Bucket,
    BucketTotals,
    DayTotals,
    GetMyUsage,
    GetPromptAnalytics,
    PromptAnalyticsView,
    UsageView,
    VersionTotals,
)
from promptforge.actors.ai.usage.store import RollupStore
from promptforge.actors.prompts.messages import GetPrompt
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles

LONGEST_OWN = 366 * DAY


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
        rollups = await self._rollups.list_between(message.prompt_id, kept, start, end)
        adding = partial(summed, rollups, bucket, version=message.version, by_version=message.by_version)
        sums = await anyio.to_thread.run_sync(adding)  # thousands of documents: others are served meanwhile
        return PromptAnalyticsView(
            prompt_id=message.prompt_id,
            bucket=bucket,
            start=start,
            end=end,
            totals=sums.whole.totals,
            versions=tuple(VersionTotals(number, sums.versions[number].totals) for number in sorted(sums.versions)),
            buckets=tuple(BucketTotals(at, number, tally.totals) for (at, number), tally in sums.buckets.items()),
        )

    @handles(GetMyUsage)
    async def get_my_usage(self, message: GetMyUsage, context: Context) -> UsageView:
        start, end = stretch(message.since, message.until, Bucket.DAY, now=context.now(), longest=LONGEST_OWN)
        sums = summed(await self._rollups.list_between(context.user_id, Bucket.DAY, start, end), Bucket.DAY)
        days = tuple(DayTotals(at, tally.spend) for (at, _), tally in sums.buckets.items())
        return UsageView(start, end, sums.whole.spend, days)
