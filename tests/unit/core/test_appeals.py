from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.core.appeals import AppealTooLate, expect_in_time

UNTIL = datetime(2027, 5, 29, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize("until", [UNTIL, None])
def test_an_appeal_is_heard_up_to_its_last_moment(until: datetime | None) -> None:
    expect_in_time(until, UNTIL)


def test_a_moment_later_it_is_refused_saying_when_it_ended() -> None:
    with pytest.raises(AppealTooLate, match="until 2027-05-29 12:30 UTC") as refused:
        expect_in_time(UNTIL, UNTIL + timedelta(microseconds=1))
    assert refused.value.extra == {"appeal_until": "2027-05-29T12:30:00+00:00"}
    expect_in_time(None, UNTIL + timedelta(days=9999))
