"""Which ticks a schedule has, in its own time zone, and which of them are fired after an absence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from time import process_time

import pytest

from promptforge.core.errors import ConfigurationError
from promptforge.core.jobs import Missed, Schedule
from promptforge.core.jobs.schedules import MOST_MISSED, due_ticks
from promptforge.core.messages import Command, internal


@internal
class Tick(Command[None]):
    """Says when it is."""

    at: datetime


def schedule(cron: str, *, zone: str = "UTC", missed: Missed = Missed.LATEST) -> Schedule:
    return Schedule("tests", cron, lambda tick: Tick(at=tick), zone=zone, missed=missed)


def utc(*parts: int) -> datetime:
    year, month, day, hour, minute, second = (*parts, 0, 0, 0)[:6]
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def test_ticks_are_read_in_the_zone_of_the_schedule() -> None:
    ticks = schedule("0 8 * * *", zone="Europe/Berlin").ticks_after(utc(2026, 3, 27, 12))
    assert list(islice(ticks, 3)) == [utc(2026, 3, 28, 7), utc(2026, 3, 29, 6), utc(2026, 3, 30, 6)]


def test_an_hour_that_is_skipped_is_made_up_for_and_one_that_comes_twice_fires_once() -> None:
    daily = schedule("30 2 * * *", zone="Europe/Berlin")
    spring = list(islice(daily.ticks_after(utc(2026, 3, 28, 12)), 2))
    assert spring == [utc(2026, 3, 29, 1), utc(2026, 3, 30, 0, 30)]  # 02:30 does not exist: at 03:00
    autumn = list(islice(daily.ticks_after(utc(2026, 10, 24, 12)), 2))
    assert autumn == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]


NOW = utc(2026, 5, 5, 12, 0, 30)


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        (Missed.SKIP, []),
        (Missed.LATEST, [utc(2026, 5, 5, 11, 45)]),
        (Missed.ALL, [utc(2026, 5, 5, 11, 15), utc(2026, 5, 5, 11, 30), utc(2026, 5, 5, 11, 45)]),
    ],
)
def test_what_is_done_about_missed_ticks(missed: Missed, expected: list[datetime]) -> None:
    quarters = schedule("15,30,45 * * * *", missed=missed)
    assert due_ticks(quarters, utc(2026, 5, 5, 11), NOW) == expected


@pytest.mark.parametrize("missed", [Missed.SKIP, Missed.LATEST])
def test_a_tick_on_time_makes_up_for_those_before_it(missed: Missed) -> None:
    assert due_ticks(schedule("*/15 * * * *", missed=missed), utc(2026, 5, 5, 11), NOW) == [utc(2026, 5, 5, 12)]


def test_nothing_is_due_twice_and_nothing_early() -> None:
    minutely = schedule("* * * * *", missed=Missed.ALL)
    assert due_ticks(minutely, utc(2026, 5, 5, 12), NOW) == []
    assert due_ticks(minutely, utc(2026, 5, 5, 11, 59, 59), NOW) == [utc(2026, 5, 5, 12)]
    assert due_ticks(minutely, NOW, NOW) == []


def test_a_year_away_is_caught_up_with_in_bounds() -> None:
    started = process_time()
    ticks = due_ticks(schedule("* * * * *", missed=Missed.ALL), NOW - timedelta(days=365), NOW)
    assert len(ticks) == MOST_MISSED
    assert ticks == sorted(ticks)
    assert ticks[-1] == utc(2026, 5, 5, 12)
    assert process_time() - started < 5  # half a million ticks one by one would take longer


@pytest.mark.parametrize(("cron", "zone"), [("every day", "UTC"), ("61 * * * *", "UTC"), ("0 8 * * *", "Mars/Olympus")])
def test_what_cannot_be_read_is_refused_when_it_is_declared(cron: str, zone: str) -> None:
    with pytest.raises(ConfigurationError, match="schedule tests"):
        schedule(cron, zone=zone)
