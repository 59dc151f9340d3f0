"""The circuit breaker, on a clock of the test's."""

from __future__ import annotations

from promptforge.core.breaker import (
    FAILURES,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Breaker,
)


class Moment:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def opened(moment: Moment) -> Breaker:
    breaker = Breaker(moment)
    for _ in range(FAILURES):
        assert breaker.admit() is None
        breaker.failed()
    return breaker


def test_it_opens_at_the_fifth_failure_in_a_row_and_not_before() -> None:
    breaker = Breaker(Moment())
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert breaker.admit() is None
    breaker.failed()
    assert breaker.is_open
    assert breaker.admit() == FIRST_PAUSE_SECONDS


def test_one_request_is_let_through_after_the_pause_and_its_success_closes_it() -> None:
    moment = Moment()
    breaker = opened(moment)
    moment.now += FIRST_PAUSE_SECONDS
    assert breaker.admit() is None
    assert breaker.admit() is not None
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.admit() is None


def test_a_probe_that_fails_doubles_the_pause_up_to_a_minute() -> None:
    moment = Moment()
    breaker = opened(moment)
    pauses = []
    for _ in range(5):
        pauses.append(pause := breaker.admit())
        assert pause is not None
        moment.now += pause
        assert breaker.admit() is None
        breaker.failed()
    assert pauses == [FIRST_PAUSE_SECONDS, 20, 40, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]


def test_a_probe_that_nobody_wants_any_more_lets_the_next_one_try() -> None:
    moment = Moment()
    breaker = opened(moment)
    moment.now += FIRST_PAUSE_SECONDS
    assert breaker.admit() is None
    breaker.neither()
    assert breaker.admit() is None


def test_failures_of_requests_that_were_on_their_way_when_it_opened_change_nothing() -> None:
    moment = Moment()
    breaker = opened(moment)
    breaker.failed()
    assert breaker.admit() == FIRST_PAUSE_SECONDS
