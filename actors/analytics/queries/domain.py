"""What may be asked, and how facts are grouped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from promptforge.actors.ai.usage.messages import Bucket
from promptforge.actors.analytics.queries.messages import AnalyticsRow, QueryAnalytics, QueryFilter, View
from promptforge.core.amounts import from_millicredits
from promptforge.core.errors import FieldError, Invalid

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
_LENGTHS = {Bucket.HOUR: HOUR, Bucket.DAY: DAY, Bucket.WEEK: WEEK}
USUAL = timedelta(days=30)
LONGEST = timedelta(days=400)
MOST_HOURS = 2000
MOST_ROWS = 2000
_ENDLESS = frozenset(
    {"external_id", "user_id", "buyer_id", "run_id", "purchase_id", "id", "at", "value", "day", "hour"}
)
"""Names of what has any number of values."""


class Unit(Enum):
    NUMBER = auto()
    CREDITS = auto()


@dataclass(frozen=True, slots=True)
class Offer:
    """What a view can be asked: measures by name, and what groups and filters it."""

    measures: Mapping[str, Unit]
    dimensions: frozenset[str]
    buckets: frozenset[Bucket] = frozenset({Bucket.DAY, Bucket.WEEK})


_RUNS = dict.fromkeys(("runs", "failed", "cancelled", "input_tokens", "output_tokens", "cost_microusd"), Unit.NUMBER)
_LISTING = frozenset({"listing_id"})
USAGE = Offer({**_RUNS, "credits": Unit.CREDITS}, frozenset({"prompt_id"}))
PROMPT_USAGE = Offer(USAGE.measures, frozenset({"prompt_id", "prompt_version"}), frozenset(Bucket))
OFFERS: Mapping[View, Offer] = {
    View.EVENTS: Offer(
        {"events": Unit.NUMBER, "value": Unit.NUMBER},
        frozenset({"kind", "prompt_id", "prompt_version", "variant"}),
        frozenset(Bucket),
    ),
    View.USAGE: USAGE,
    View.SALES: Offer(
        {
            "sales": Unit.NUMBER,
            "gross": Unit.CREDITS,
            "net": Unit.CREDITS,
            "refunds": Unit.NUMBER,
            "refunded_net": Unit.CREDITS,
        },
        _LISTING,
    ),
    View.VIEWS: Offer({"views": Unit.NUMBER}, _LISTING),
}

Value = str | int | None


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is added up: when it was, what tells it apart, and its numbers (credits in millicredits)."""

    at: datetime
    dimensions: Mapping[str, Value]
    measures: Mapping[str, float]


def offer_of(message: QueryAnalytics) -> Offer:
    """Of the usage of one prompt more can be asked than of one's own. Raises `Invalid`, see `check`."""
    offer = PROMPT_USAGE if message.view is View.USAGE and prompt_of(message) is not None else OFFERS[message.view]
    check(message, offer)
    return offer


def prompt_of(message: QueryAnalytics) -> str | None:
    """The one prompt that is asked about, where it is one."""
    for one in message.filters:
        if one.dimension == "prompt_id" and len(one.values) == 1:
            return str(one.values[0])
    return None


def check(message: QueryAnalytics, offer: Offer) -> None:
    """Raises `Invalid` with everything that the view does not offer, and with what it does."""
    errors: list[FieldError] = []
    for number, name in enumerate(message.measures):
        if name not in offer.measures:
            detail = f"The measures of {message.view} are {_listed(offer.measures)}"
            errors.append(FieldError(detail, "unknown_measure", pointer=f"/measures/{number}"))
    grouping = offer.dimensions - ({"prompt_id"} if message.view is View.USAGE and offer is USAGE else set())
    errors += [
        _dimension_error(message.view, name, grouping, f"/dimensions/{number}")
        for number, name in enumerate(message.dimensions)
        if name not in grouping
    ]
    errors += [
        _dimension_error(message.view, one.dimension, offer.dimensions, f"/filters/{number}/dimension")
        for number, one in enumerate(message.filters)
        if one.dimension not in offer.dimensions
    ]
    if message.view is View.USAGE and offer is USAGE and message.filters:
        detail = "Usage is filtered by one prompt_id, with one value, and then also by prompt_version"
        errors.append(FieldError(detail, "unknown_filter", pointer="/filters"))
    if message.bucket is not None and message.bucket not in offer.buckets:
        detail = f"The buckets are {_listed(offer.buckets)}"
        errors.append(FieldError(detail, "unknown_bucket", pointer="/bucket"))
    if errors:
        raise Invalid("This cannot be asked", errors=tuple(errors))


def _dimension_error(view: View, name: str, offered: frozenset[str], pointer: str) -> FieldError:
    choice = f"Choose from {_listed(offered)}" if offered else "There is nothing to choose from"
    if name in _ENDLESS or name.startswith("propert"):
        detail = f"{name} may have any number of values, and cannot be grouped or filtered by. {choice}"
        return FieldError(detail, "high_cardinality", pointer=pointer)
    return FieldError(f"{view} has no dimension of this name. {choice}", "unknown_dimension", pointer=pointer)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def start_of(moment: datetime, bucket: Bucket) -> datetime:
    if bucket is Bucket.HOUR:
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday()) if bucket is Bucket.WEEK else day


def stretch(
    since: datetime | None, until: datetime | None, bucket: Bucket, *, now: datetime
) -> tuple[datetime, datetime]:
    """The whole buckets that are asked for. Raises `Invalid`; times lie between the years 2000 and 2200."""
    for name, moment in (("from", since), ("to", until)):
        if moment is not None and not 2000 <= moment.year < 2200:
            raise _invalid("This must lie between the years 2000 and 2199", name, "out_of_range")
    end = until or now
    start = since or end - min(USUAL, MOST_HOURS * HOUR)
    start, last = start_of(start, bucket), start_of(end, bucket)
    end = last if last == end else last + _LENGTHS[bucket]
    if start >= end:
        raise _invalid("This is not before `to`", "from", "not_before")
    if end - start > LONGEST + WEEK:
        raise _invalid(f"That is more than {LONGEST.days} days", "from", "too_long")
    if bucket is Bucket.HOUR and end - start > MOST_HOURS * HOUR:
        raise _invalid(f"That is more than {MOST_HOURS} hours", "from", "too_long")
    return start, end


def _invalid(detail: str, name: str, code: str) -> Invalid:
    return Invalid(detail, errors=(FieldError(detail, code, pointer=f"/{name}"),))


def grouped(facts: Iterable[Fact], message: QueryAnalytics, offer: Offer) -> tuple[AnalyticsRow, ...]:
    """Rows in the order of their buckets and dimensions. Raises `Invalid` for too many."""
    sums: dict[tuple[datetime | None, tuple[Value, ...]], dict[str, float]] = defaultdict(
        lambda: dict.fromkeys(message.measures, 0)
    )
    for fact in facts:
        if not _passes(fact, message.filters):
            continue
        start = None if message.bucket is None else start_of(fact.at, message.bucket)
        own = sums[start, tuple(fact.dimensions.get(name) for name in message.dimensions)]
        for name in own:
            own[name] += fact.measures[name]
        if len(sums) > MOST_ROWS:
            raise Invalid(f"That is more than {MOST_ROWS} rows: ask for a shorter time, longer buckets, or a filter")
    in_order = sorted(sums.items(), key=lambda item: (str(item[0][0]), [_sortable(v) for v in item[0][1]]))
    return tuple(
        AnalyticsRow(
            start,
            dict(zip(message.dimensions, values, strict=True)),
            {name: _told(number, offer.measures[name]) for name, number in own.items()},
        )
        for (start, values), own in in_order
    )


def _passes(fact: Fact, filters: Sequence[QueryFilter]) -> bool:
    return all(fact.dimensions.get(one.dimension) in one.values for one in filters)


def _sortable(value: Value) -> tuple[int, int, str]:
    if value is None:
        return (0, 0, "")
    return (1, value, "") if isinstance(value, int) else (2, 0, value)


def _told(number: float, unit: Unit) -> int | float | str:
    return from_millicredits(int(number)) if unit is Unit.CREDITS else number
