"""A seller's dashboard, from what happened on each day to all listings, and to each listing on all days.

Each listing's every day would be 36,600 rows for a hundred listings and a year: a tenth of a second of the event loop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from promptforge.actors.billing.figures.messages import RunIncome
from promptforge.actors.marketplace.insights.domain import ListingSold
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


def total_of(rows: Sequence[ListingDay] | Sequence[ListingSold]) -> SalesSum:
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


@dataclass(frozen=True, slots=True)
class ListingIncome:
    """What there is of one listing."""

    sold: list[ListingSold] = field(default_factory=list)
    ran: list[RunIncome] = field(default_factory=list)

    @property
    def worth(self) -> tuple[int, int]:
        """What it earned, what was taken back left out; and how often it was seen."""
        net = sum(one.net - one.refunded_net for one in self.sold)
        net += sum(one.net - one.refunded_net for one in self.ran)
        return net, sum(row.views for row in self.sold)


def best(sold: Sequence[ListingSold], income: Sequence[RunIncome]) -> dict[str, ListingIncome]:
    """Those that earned most; of equals the one that was seen more. Runs of no known listing are in none."""
    by_listing: dict[str, ListingIncome] = defaultdict(ListingIncome)
    for one in sold:
        by_listing[one.listing_id].sold.append(one)
    for day in income:
        if day.listing_id is not None:
            by_listing[day.listing_id].ran.append(day)
    ranked = sorted(by_listing, key=lambda one: (*by_listing[one].worth, one), reverse=True)
    return {one: by_listing[one] for one in ranked[:TOP]}


def runs_of(income: Sequence[RunIncome]) -> RunSum:
    return RunSum(
        runs=sum(day.runs for day in income),
        net=from_millicredits(sum(day.net for day in income)),
        refunds=sum(day.refunds for day in income),
        refunded_net=from_millicredits(sum(day.refunded_net for day in income)),
    )


def dashboard(
    rows: Sequence[ListingDay],
    income: Sequence[RunIncome],
    top: Mapping[str, ListingIncome],
    titles: Mapping[str, str],
    *,
    since: date,
    until: date,
) -> SellerDashboard:
    """`rows` of all listings together. Every day from `since` to `until`, both of them in it, has a place."""
    ran: dict[date, list[RunIncome]] = defaultdict(list)
    for one in income:
        ran[one.day].append(one)
    by_day: dict[date, list[ListingDay]] = defaultdict(list)
    for row in rows:
        by_day[row.day].append(row)
    days = []
    for number in range((until - since).days + 1):
        day = since + timedelta(days=number)
        own = total_of(by_day[day])
        runs = runs_of(ran[day])
        days.append(DaySum(day, own.views, own.sales, own.net, runs.runs, runs.net))
    sums = tuple(ListingSum(one, titles.get(one, ""), total_of(own.sold), runs_of(own.ran)) for one, own in top.items())
    return SellerDashboard(since, until, total_of(rows), runs_of(income), sums, tuple(days))
