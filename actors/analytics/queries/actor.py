"""Answers dashboards and questions. Everything is asked for by the user's own id: there is no way to name another's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial

import anyio

from promptforge.actors.ai.usage.messages import Bucket, GetPromptAnalytics, SpendTotals, SumUsage
from promptforge.actors.analytics.queries.dashboard import TOP, dashboard
from promptforge.actors.analytics.queries.domain import DAY, Fact, grouped, offer_of, prompt_of, start_of, stretch
from promptforge.actors.analytics.queries.messages import (
    AnalyticsAnswer,
    DashboardView,
    GetDashboard,
    QueryAnalytics,
    View,
)
from promptforge.actors.analytics.rollups.domain import Level, StretchSum
from promptforge.actors.analytics.rollups.store import EventRollups
from promptforge.actors.marketplace.insights.messages import ListingDay, SumSales
from promptforge.core.amounts import to_millicredits
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles

_BY_KIND = frozenset({"kind"})


class QueriesActor(Actor):
    name = "analytics"
    asks = ("usage", "insights")

    def __init__(self, rollups: EventRollups) -> None:
        self._rollups = rollups

    @handles(GetDashboard)
    async def get_dashboard(self, message: GetDashboard, context: Context) -> DashboardView:
        end = start_of(context.now(), Bucket.DAY) + DAY
        start = end - timedelta(days=message.days)
        user_id = context.user_id
        usage = await context.ask(SumUsage(user_id=user_id, since=start, until=end))
        listings = await context.ask(SumSales(seller_id=user_id, since=start, until=end, by_listing=False))
        events = await self._rollups.overview(user_id, start, end, kinds=TOP)
        view = partial(dashboard, start, end, usage=usage, listings=listings, events=events)
        return await anyio.to_thread.run_sync(view)  # thousands of sums: others are served meanwhile

    @handles(QueryAnalytics)
    async def query(self, message: QueryAnalytics, context: Context) -> AnalyticsAnswer:
        offer = offer_of(message)
        start, end = stretch(message.since, message.until, message.bucket or Bucket.DAY, now=context.now())
        facts = await self._facts(message, start, end, context)
        rows = await anyio.to_thread.run_sync(partial(grouped, facts, message, offer))
        return AnalyticsAnswer(message.view, start, end, message.bucket, rows)

    async def _facts(self, message: QueryAnalytics, start: datetime, end: datetime, context: Context) -> Iterable[Fact]:
        """They are made where they are grouped: there may be thousands."""
        user_id = context.user_id
        if message.view is View.EVENTS:
            return await self._events(message, start, end, user_id)
        if message.view is View.USAGE:
            return await _usage(message, start, end, context)
        apart = bool(message.dimensions or message.filters)
        sold = await context.ask(SumSales(seller_id=user_id, since=start, until=end, by_listing=apart))
        return _listing_facts(sold, message.view)

    async def _events(self, message: QueryAnalytics, start: datetime, end: datetime, user_id: str) -> Iterable[Fact]:
        asked = {*message.dimensions, *(one.dimension for one in message.filters)}
        level = Level.DETAIL if asked - _BY_KIND else Level.KIND if asked else Level.DAY
        only = [(one.dimension, one.values) for one in message.filters if all(map(_can_be_stored, one.values))]
        by_hour = message.bucket is Bucket.HOUR
        sums: Sequence[StretchSum]
        if asked or by_hour:
            sums = await self._rollups.list_sums(user_id, level, start, end, by_hour=by_hour, only=only)
        else:
            sums = await self._rollups.list_days(user_id, start, end)
        return (
            Fact(
                one.start,
                {
                    "kind": one.label.kind,
                    "prompt_id": one.label.prompt_id,
                    "prompt_version": one.label.prompt_version,
                    "variant": one.label.variant,
                },
                {"events": one.events, "value": one.value},
            )
            for one in sums
        )


def _can_be_stored(value: str | int) -> bool:
    """Whole numbers of 64 bits; others are in nothing that is stored, and cannot be asked for there."""
    return isinstance(value, str) or -(2**63) <= value < 2**63


async def _usage(message: QueryAnalytics, start: datetime, end: datetime, context: Context) -> Iterable[Fact]:
    prompt_id = prompt_of(message)
    if prompt_id is None:
        view = await context.ask(SumUsage(user_id=context.user_id, since=start, until=end))
        return (Fact(day.start, {}, _spent(day.totals)) for day in view.days)
    bucket = Bucket.HOUR if message.bucket is Bucket.HOUR else Bucket.DAY
    # It says who may see it: whoever works on the prompt.
    prompt = await context.ask(
        GetPromptAnalytics(prompt_id=prompt_id, since=start, until=end, bucket=bucket, by_version=True)
    )
    return (
        Fact(one.start, {"prompt_id": prompt_id, "prompt_version": one.version}, _spent(one.totals))
        for one in prompt.buckets
    )


def _spent(totals: SpendTotals) -> dict[str, float]:
    return {
        "runs": totals.runs,
        "failed": totals.failed,
        "cancelled": totals.cancelled,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "cost_microusd": totals.cost_microusd,
        "credits": to_millicredits(totals.credits),
    }


def _listing_facts(days: Iterable[ListingDay], view: View) -> Iterable[Fact]:
    """What was seen has rows of its own, and what was sold too."""
    return (
        Fact(
            datetime.combine(one.day, time(), UTC),
            {"listing_id": one.listing_id},
            {
                "views": one.views,
                "sales": one.sales,
                "gross": one.gross,
                "net": one.net,
                "refunds": one.refunds,
                "refunded_net": one.refunded_net,
            },
        )
        for one in days
        if bool(one.views) is (view is View.VIEWS)
    )
