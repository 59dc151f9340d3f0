"""Somebody's dashboard, put together from three kinds of sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from promptforge.actors.ai.usage.messages import UsageView
from promptforge.actors.analytics.queries.messages import DashboardDay, DashboardTotals, DashboardView, KindSum
from promptforge.actors.analytics.rollups.domain import Overview
from promptforge.actors.marketplace.insights.messages import ListingDay
from promptforge.core.amounts import from_millicredits, to_millicredits

TOP = 10


@dataclass(slots=True)
class _Sum:
    """Credits in millicredits."""

    runs: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    credits: int = 0
    events: int = 0
    views: int = 0
    sales: int = 0
    net: int = 0
    refunds: int = 0

    def told(self) -> DashboardTotals:
        return DashboardTotals(
            self.runs,
            self.failed,
            self.input_tokens,
            self.output_tokens,
            from_millicredits(self.credits),
            self.events,
            self.views,
            self.sales,
            from_millicredits(self.net),
            self.refunds,
        )


def dashboard(
    start: datetime, end: datetime, *, usage: UsageView, listings: Iterable[ListingDay], events: Overview
) -> DashboardView:
    """Every day has a place."""
    whole = _Sum()
    days: dict[date, _Sum] = defaultdict(_Sum)
    for day in usage.days:
        for one in (whole, days[day.start.date()]):
            one.runs += day.totals.runs
            one.failed += day.totals.failed
            one.input_tokens += day.totals.input_tokens
            one.output_tokens += day.totals.output_tokens
            one.credits += to_millicredits(day.totals.credits)
    for listing in listings:
        for one in (whole, days[listing.day]):
            one.views += listing.views
            one.sales += listing.sales
            one.net += listing.net
            one.refunds += listing.refunds
    for told in events.days:
        for one in (whole, days[told.start.date()]):
            one.events += told.events
    since, number = start.date(), (end - start).days
    in_order = [since + timedelta(days=count) for count in range(number)]
    return DashboardView(
        since,
        in_order[-1],
        whole.told(),
        tuple(DashboardDay(day, days[day].told()) for day in in_order),
        tuple(KindSum(one.label.kind, one.events, one.value) for one in events.kinds),
    )
