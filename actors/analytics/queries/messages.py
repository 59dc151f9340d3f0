"""The dashboard, and questions of one's own making."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.actors.ai.usage.messages import Bucket
from promptforge.core.clock import Instant
from promptforge.core.messages import Query, requires
from promptforge.core.text import LINE

Word = Annotated[str, Len(1, 64), LINE]


class View(StrEnum):
    """What is asked about: your events, your runs of models, sales of your listings, and views of them."""

    EVENTS = "events"
    USAGE = "usage"
    SALES = "sales"
    VIEWS = "views"


@dataclass(frozen=True, slots=True)
class QueryFilter:
    """Only what has one of these values."""

    dimension: Annotated[Word, Field(examples=["kind"])]
    values: Annotated[
        tuple[Annotated[str, Len(1, 100), LINE] | int, ...], Len(1, 50), Field(examples=[["answer.accepted"]])
    ]


@dataclass(frozen=True, slots=True)
class AnalyticsRow:
    """One group: when its bucket begins (null without buckets), its dimensions, and its measures.

    Credits are decimal strings.
    """

    start: Annotated[datetime | None, Field(examples=["2026-11-16T00:00:00Z"])]
    dimensions: Annotated[dict[str, str | int | None], Field(examples=[{"kind": "answer.accepted"}])]
    measures: Annotated[dict[str, int | float | str], Field(examples=[{"events": 412}])]


@dataclass(frozen=True, slots=True)
class AnalyticsAnswer:
    """What was found from `start` until before `end`. Groups of which there is nothing are left out."""

    view: View
    start: datetime
    end: datetime
    bucket: Bucket | None
    rows: tuple[AnalyticsRow, ...]


@dataclass(frozen=True, slots=True)
class DashboardTotals:
    """Your runs and what they cost you, your events, and how your listings did."""

    runs: int
    failed: int
    input_tokens: int
    output_tokens: int
    credits: Annotated[str, Field(examples=["21.4"])]
    events: int
    views: int
    sales: int
    net: Annotated[str, Field(examples=["106.25"])]
    refunds: int


@dataclass(frozen=True, slots=True)
class DashboardDay:
    day: date
    totals: DashboardTotals


@dataclass(frozen=True, slots=True)
class KindSum:
    """How many events of a kind there were, and the sum of their values."""

    kind: Annotated[str, Field(examples=["answer.accepted"])]
    events: int
    value: Annotated[float, Field(examples=[617.5])]


@dataclass(frozen=True, slots=True)
class DashboardView:
    """These days (UTC), all together and one by one, and the ten kinds of which there were most events."""

    since: date
    until: date
    totals: DashboardTotals
    days: tuple[DashboardDay, ...]
    kinds: tuple[KindSum, ...]


@requires(scope="analytics:read")
class GetDashboard(Query[DashboardView]):
    """Read your last `days`, today among them: what you ran and paid, what your programs told of, what you sold.

    Events are in it about a minute after they were told of.
    """

    days: Annotated[int, Ge(1), Le(366)] = 30


@requires(scope="analytics:read")
class QueryAnalytics(Query[AnalyticsAnswer]):
    """Add up one of the views, of what is yours: its `measures`, by `dimensions` and by hour, day or week.

    | view | measures | dimensions | buckets |
    |---|---|---|---|
    | `events` | `events`, `value` | `kind`, `prompt_id`, `prompt_version`, `variant` | hour, day, week |
    | `usage` | `runs`, `failed`, `cancelled`, `input_tokens`, `output_tokens`, `cost_microusd`, `credits` |
    `prompt_version`, with a filter on one `prompt_id`: then it is everybody's runs of that prompt | day, week (of a
    prompt also hour) |
    | `sales` | `sales`, `gross`, `net`, `refunds`, `refunded_net` | `listing_id` | day, week |
    | `views` | `views` | `listing_id` | day, week |

    Nothing is grouped by what has any number of values, such as ids of your own or properties of events (422
    `high_cardinality`). `from` and `to` are widened to whole buckets; by default the last 30 days. At most 400 days,
    2,000 hours, and 2,000 rows.
    """

    view: View
    measures: Annotated[tuple[Word, ...], Len(1, 10), Field(examples=[["events"]])]
    dimensions: Annotated[tuple[Word, ...], Len(0, 3), Field(examples=[["kind"]])] = ()
    filters: Annotated[tuple[QueryFilter, ...], Len(0, 5), Field(examples=[[]])] = ()
    bucket: Bucket | None = None
    since: Annotated[Instant | None, Field(alias="from", examples=["2026-11-01T00:00:00Z"])] = None
    until: Annotated[Instant | None, Field(alias="to", examples=["2026-12-01T00:00:00Z"])] = None
