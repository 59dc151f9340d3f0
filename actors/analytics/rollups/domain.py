"""Sums of events: which there are, and what they are kept under.

A day of an owner has sums by kind, and finer ones by kind, prompt, version and variant. Names that an owner's programs
make up without end are added up under `OTHER`, so that a day has a bounded number of sums. Coarse ones are sums of
those by kind: one of each day, and one of each kind in a month.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b

OTHER = "(other)"
"""The kind of what comes after a day's last sum; no event can have it."""


class Level(StrEnum):
    """How finely sums tell events apart; the value is the mark in their ids."""

    KIND = "k"
    DETAIL = "d"
    DAY = "t"
    MONTH = "m"


MOST = {Level.KIND: 200, Level.DETAIL: 2000, Level.MONTH: 1000}
"""Of a day, or of a month."""
COARSE = frozenset({Level.DAY, Level.MONTH})
"""They are the sums of the sums by kind; those of months have no hours."""


@dataclass(frozen=True, slots=True)
class Label:
    """What events are told apart by."""

    kind: str
    prompt_id: str | None = None
    prompt_version: int | None = None
    variant: str | None = None


ALL_KINDS = Label("")
"""No event has an empty kind."""
_ALL = "(all)"


@dataclass(frozen=True, slots=True)
class StretchSum:
    """The events of an owner with one label in one day or one hour: how many, and the sum of their values.

    Where they were not told apart, `label` is `ALL_KINDS`.
    """

    start: datetime
    label: Label
    events: int
    value: float


@dataclass(frozen=True, slots=True)
class Overview:
    """The events of an owner in some time: of each day that had any, and of the kinds of which there were most."""

    days: tuple[StretchSum, ...]
    kinds: tuple[StretchSum, ...]


Key = tuple[str, Level, datetime, Label]
"""Owner, level, day (of a month its first one) and label."""
Cells = dict[Key, dict[int, tuple[int, float]]]
"""By hour, events and value; of months everything is at 0."""


def add(hours: dict[int, tuple[int, float]], hour: int, events: int, value: float) -> None:
    before = hours.get(hour, (0, 0.0))
    hours[hour] = (before[0] + events, before[1] + value)


def coarse(cells: Mapping[Key, Mapping[int, tuple[int, float]]]) -> Cells:
    """What sums by kind add to their days and months, once they are bounded: so both tell of the same kinds."""
    found: Cells = defaultdict(dict)
    for (owner, level, day, label), hours in cells.items():
        if level is Level.KIND:
            for hour, (events, value) in hours.items():
                add(found[owner, Level.DAY, day, ALL_KINDS], hour, events, value)
                add(found[owner, Level.MONTH, month_of(day), label], 0, events, value)
    return found


def month_of(day: datetime) -> datetime:
    return day.replace(day=1)


def month_after(month: datetime) -> datetime:
    return month_of(month + timedelta(days=31))


@dataclass(frozen=True, slots=True)
class Span:
    """Sums of one level from `start` until before `end`."""

    level: Level
    start: datetime
    end: datetime


def spans_of_kinds(start: datetime, end: datetime) -> list[Span]:
    """Days from `start` until before `end` in few sums by kind: whole months, and the days beside them."""
    first, last = month_of(start), month_of(end)
    if first < start:
        first = month_after(first)
    if first >= last:
        return [Span(Level.KIND, start, end)]
    parts = [Span(Level.KIND, start, first), Span(Level.MONTH, first, last), Span(Level.KIND, last, end)]
    return [part for part in parts if part.start < part.end]


def sum_key(owner: str, level: Level, day: datetime, label: Label) -> str:
    """The `_id` of a sum, so that a stretch of days or months is a range."""
    return f"{day_key(owner, level, day)}:{_digest(label) if level is Level.DETAIL else label.kind or _ALL}"


DAY_BYTES = len(":k:2026-11-20")
"""Of a day's key, behind its owner, whose id has no colon."""


def day_key(owner: str, level: Level, day: datetime) -> str:
    return f"{owner}:{level}:{day:%Y-%m-%d}"


def _digest(label: Label) -> str:
    if label == Label(OTHER):
        return OTHER
    facts = repr((label.kind, label.prompt_id, label.prompt_version, label.variant))
    return blake2b(facts.encode(), digest_size=12).hexdigest()
