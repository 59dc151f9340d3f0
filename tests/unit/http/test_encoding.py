from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest

from promptforge.core.pages import Page
from promptforge.http.encoding import encode

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001  # what must be refused
AWARE = datetime(2026, 1, 1, 12, 0, 0, 123000, UTC)


@dataclass(frozen=True, slots=True)
class Inner:
    """Times in every place where one can be."""

    at: datetime | None = None
    times: tuple[datetime, ...] = ()
    by_name: dict[str, datetime] | None = None
    words: tuple[str, ...] = ("a",)


@dataclass(frozen=True, slots=True)
class Outer:
    """One more level."""

    inner: Inner
    others: tuple[Inner, ...] = ()


def test_times_are_written_in_utc_with_z() -> None:
    assert encode({"at": AWARE}) == b'{"at":"2026-01-01T12:00:00.123000Z"}'


def test_a_time_of_another_zone_keeps_its_offset() -> None:
    assert b"+02:00" in encode(Inner(at=AWARE.astimezone(timezone(timedelta(hours=2)))))


@pytest.mark.parametrize(
    "view",
    [
        NAIVE,
        Inner(at=NAIVE),
        Inner(times=(AWARE, NAIVE)),
        Inner(by_name={"a": NAIVE}),
        Outer(Inner(at=NAIVE)),
        Outer(Inner(), (Inner(), Inner(at=NAIVE))),
        Page((Outer(Inner(at=NAIVE)),)),
    ],
)
def test_a_time_without_a_zone_is_refused_wherever_it_is(view: object) -> None:
    with pytest.raises(ValueError, match="zone"):
        encode(view)


def test_what_no_view_may_hold_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(TypeError):
        encode({"a": object()})
