"""A seller's dashboard, added up from what happened on each day to each listing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from promptforge.actors.billing.figures.messages import RunIncome
from promptforge.actors.marketplace.insights.messages import (
    DaySum,
    ListingDay,
    ListingSum,
    RunSum,
    SalesSum,
    SellerDashboard,
)
from promptforge.core.amounts import from_millicredits

TOP = 10


def total_of(rows: Iterable[ListingDay]) -> SalesSum:
    rows = list(rows)
    views, sales = sum(row.views for row in rows), sum(row.sales for row in rows)
    return SalesSum(
        views=views,
        sales=sales,
        gross=from_millicredits(sum(row.gross for row in rows)),
        net=from_millicredits(sum(row.net for row in rows)),
        refunds=sum(row.refunds for row in rows),
        refunded_net=from_millicredits(sum(row.refunded_net for row in rows)),
        conversion=round(sales / views, 4) if views else None,
    )


def best(rows: Sequence[ListingDay]) -> dict[str, list[ListingDay]]:
    """Those that earned most, what was refunded left out; of equals the one that was seen more."""
    by_listing: dict[str, list[ListingDay]] = defaultdict(list)
    for row in rows:
        by_listing[row.listing_id].append(row)

    def worth(listing_id: str) -> tuple[int, int, str]:
        own = by_listing[listing_id]
        return sum(row.net - row.refunded_net for row in own), sum(row.views for row in own), listing_id

    return {one: by_listing[one] for one in sorted(by_listing, key=worth, reverse=True)[:TOP]}


def runs_of(income: Sequence[RunIncome]) -> RunSum:
    return RunSum(
        runs=sum(day.runs for day in income),
        net=from_millicredits(sum(day.net for day in income)),
        refunds=sum(day.refunds for day in income),
        refunded_net=from_millicredits(sum(day.refunded_net for day in income)),
    )


def dashboard(
    rows: Sequence[ListingDay], income: Sequence[RunIncome], titles: Mapping[str, str], *, since: date, until: date
) -> SellerDashboard:
    """Every day from `since` to `until`, both of them in it, has a place."""
    ran = {day.day: day for day in income}
    by_day: dict[date, list[ListingDay]] = defaultdict(list)
    for row in rows:
        by_day[row.day].append(row)
    days = []
    for number in range((until - since).days + 1):
        day = since + timedelta(days=number)
        own = total_of(by_day[day])
        runs = runs_of([ran[day]] if day in ran else [])
        days.append(DaySum(day, own.views, own.sales, own.net, runs.runs, runs.net))
    top = tuple(ListingSum(one, titles.get(one, ""), total_of(own)) for one, own in best(rows).items())
    return SellerDashboard(since, until, total_of(rows), runs_of(income), top, tuple(days))
