"""The server's time, and the time that documents are stamped with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.core.clock import SystemClock
from promptforge.core.jobs import DocumentClock
from promptforge.core.jobs.server_clock import ServerClock

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


class _Stopped(SystemClock):
    def now(self) -> datetime:
        return NOON


def clock_that_is(off: timedelta, *, trip: timedelta = timedelta(milliseconds=3)) -> DocumentClock:
    """Of a machine whose server said another time than its own."""
    server = ServerClock(_Stopped())
    server.measure(NOON - trip, NOON - trip / 2 + off, NOON)
    return DocumentClock(server)


@pytest.mark.parametrize("minutes", [-600, -5, 5, 600])
def test_documents_of_a_machine_whose_clock_is_wrong_have_the_servers_time(minutes: int) -> None:
    assert clock_that_is(timedelta(minutes=minutes)).now() == NOON + timedelta(minutes=minutes)


@pytest.mark.parametrize("milliseconds", [-1500, -1, 0, 1, 1500])
def test_a_clock_that_is_right_is_not_corrected_by_what_measuring_errs(milliseconds: int) -> None:
    assert clock_that_is(timedelta(milliseconds=milliseconds)).now() == NOON


def test_a_measurement_that_took_long_says_little() -> None:
    assert clock_that_is(timedelta(seconds=30), trip=timedelta(seconds=60)).now() == NOON


@pytest.mark.parametrize("answered", [0, 1, 4, 5])
def test_a_machine_that_stood_still_while_it_measured_keeps_the_time_that_it_had(answered: int) -> None:
    server = ServerClock(_Stopped())
    server.measure(NOON - timedelta(seconds=5), NOON - timedelta(seconds=5 - answered), NOON)
    assert server.now() == NOON
    server.measure(NOON, NOON + timedelta(seconds=30), NOON)
    server.measure(NOON - timedelta(seconds=5), NOON + timedelta(seconds=25 + answered), NOON)
    assert server.now() == NOON + timedelta(seconds=30)


def test_stamps_have_whole_milliseconds() -> None:
    assert clock_that_is(timedelta(hours=1, microseconds=1234567)).now().microsecond % 1000 == 0
