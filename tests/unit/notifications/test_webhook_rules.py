"""What follows from how an attempt went, without sending anything."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.actors.notifications.deliveries.domain import Delivery
from promptforge.actors.notifications.deliveries.messages import DeliveryState
from promptforge.actors.notifications.messages import NotificationView
from promptforge.actors.notifications.webhooks.domain import (
    DELAYS_SECONDS,
    LEAST_SHARE,
    MOST_SHARE,
    PERSISTENT,
    Webhook,
    new_secret,
    payload_of,
    verdict_of,
)
from promptforge.actors.notifications.webhooks.gate import (
    MOST_OF_ONE,
    MOST_OF_OWNER,
    MOST_SLOW,
    MOST_UNKNOWN,
    PLACES,
    SLOW_SECONDS,
    Gate,
)
from promptforge.actors.notifications.webhooks.messages import WebhookState
from promptforge.core.egress import Answer, Problem
from promptforge.core.jobs import Snooze

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)


def delivery(failures: int = 0, *, test: bool = False) -> Delivery:
    return Delivery(
        id="dlv_1",
        event_id="dlv_1" if test else "ntf_1",
        user_id="usr_1",
        channel="whk_1",
        kind="listing.sold",
        state=DeliveryState.PENDING,
        reason=None,
        failures=failures,
        attempts=(),
        created_at=NOW - timedelta(days=1),
        ended_at=None,
        job_id="job_1",
        asked_at=NOW - timedelta(days=1),
        sent_to=None,
    )


def webhook(failing_since: datetime | None = None) -> Webhook:
    return Webhook(
        id="whk_1",
        user_id="usr_1",
        url="https://example.com/",
        description=None,
        kinds=(),
        state=WebhookState.ENABLED,
        reason=None,
        secret=b"",
        old_secret=None,
        old_secret_until=None,
        failing_since=failing_since,
        delivered_at=None,
        created_at=NOW,
        updated_at=NOW,
    )


FAILURES = [Answer(1.0, 500), Answer(1.0, 302), Answer(1.0, 404), Answer(1.0, None, Problem.TIMEOUT)]


@pytest.mark.parametrize("answer", FAILURES)
@given(failures=st.integers(0, len(DELAYS_SECONDS) - 1), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_what_failed_is_tried_again_later_and_later(answer: Answer, failures: int, seed: int) -> None:
    verdict = verdict_of(answer, delivery(failures), webhook(), now=NOW, rng=Random(seed))
    assert (verdict.state, verdict.disable) == (DeliveryState.PENDING, None)
    assert verdict.retry_seconds is not None
    share = verdict.retry_seconds / DELAYS_SECONDS[failures]
    assert LEAST_SHARE <= share <= MOST_SHARE


def test_all_attempts_together_take_about_a_day_however_chance_has_it() -> None:
    least, most = sum(DELAYS_SECONDS) * LEAST_SHARE / 3600, sum(DELAYS_SECONDS) * MOST_SHARE / 3600
    assert 17 < least < most < 28
    assert timedelta(hours=least) > PERSISTENT, "else one event that fails from first to last would not disable"


def test_after_the_last_attempt_a_receiver_that_took_nothing_meanwhile_is_left_alone() -> None:
    last, answer, rng = delivery(len(DELAYS_SECONDS)), Answer(1.0, 500), Random(1)
    assert verdict_of(answer, last, webhook(NOW - PERSISTENT), now=NOW, rng=rng).disable == "failing"
    lately = webhook(NOW - PERSISTENT + timedelta(seconds=1))
    for one in (lately, webhook(None)):
        verdict = verdict_of(answer, last, one, now=NOW, rng=rng)
        assert (verdict.state, verdict.disable) == (DeliveryState.FAILED, None)


def test_410_and_tests_end_at_once() -> None:
    assert verdict_of(Answer(1.0, 410), delivery(), webhook(), now=NOW, rng=Random(1)).disable == "gone"
    verdict = verdict_of(Answer(1.0, 500), delivery(test=True), webhook(), now=NOW, rng=Random(1))
    assert (verdict.state, verdict.disable) == (DeliveryState.FAILED, None)


def test_nobody_can_ask_for_more_than_an_hour() -> None:
    answer = Answer(1.0, 503, None, retry_after_seconds=10.0**9)
    assert verdict_of(answer, delivery(), webhook(), now=NOW, rng=Random(1)).retry_seconds == 3600


def test_the_same_event_is_always_the_same_bytes() -> None:
    told = NotificationView("ntf_1", "listing.sold", "<b>Tïtle</b>\r\n", "Body", {"b": "2", "a": "1"}, None, NOW)
    assert payload_of(delivery(3), told) == payload_of(delivery(), told)
    assert b'"type":"listing.sold"' in payload_of(delivery(), told)
    assert b'"timestamp":"2026-11-25T09:00:00.000Z"' in payload_of(delivery(), told)


def test_secrets_are_32_random_bytes() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    assert all(secret.startswith("whsec_") and len(secret) == 50 for secret in [new_secret() for _ in range(10)])


def known(gate: Gate, *receivers: str) -> None:
    """They have answered at once."""
    for receiver in receivers:
        with gate.entered(receiver, owner=f"usr_of_{receiver}", failing=False):
            pass


def test_all_that_fail_or_are_slow_together_leave_room_for_those_that_are_not() -> None:
    now = [0.0]
    gate = Gate(lambda: now[0], Random(1))
    for number in range(MOST_SLOW // 2):
        with gate.entered(f"whk_slow_{number}", owner=f"usr_{number}", failing=False):
            now[0] += SLOW_SECONDS * 1.1
    with ExitStack() as under_way:
        for number in range(MOST_SLOW // 2):
            under_way.enter_context(gate.entered(f"whk_slow_{number}", owner=f"usr_{number}", failing=False))
            under_way.enter_context(gate.entered(f"whk_failing_{number}", owner=f"usr_{number}", failing=True))
        with pytest.raises(Snooze), gate.entered("whk_more", owner="usr_more", failing=True):
            pass
        with gate.entered("whk_well", owner="usr_well", failing=False):
            pass
    assert MOST_SLOW + MOST_OF_ONE < PLACES / 2
    with gate.entered("whk_more", owner="usr_more", failing=True):
        pass


def test_who_is_not_known_yet_or_was_slow_gets_one_at_once_and_who_answers_several() -> None:
    now = [0.0]
    gate = Gate(lambda: now[0], Random(1))

    def at_once(receiver: str) -> int:
        with ExitStack() as under_way:
            for entered in range(PLACES):
                try:
                    under_way.enter_context(gate.entered(receiver, owner="usr_1", failing=False))
                except Snooze:
                    return entered
        return PLACES

    assert at_once("whk_1") == 1
    assert at_once("whk_1") == MOST_OF_ONE
    with gate.entered("whk_1", owner="usr_1", failing=False):
        now[0] += SLOW_SECONDS * 1.1
    assert at_once("whk_1") == 1
    assert at_once("whk_1") == MOST_OF_ONE, "it is quick again"


def test_an_owner_has_a_few_places_however_many_receivers_they_have() -> None:
    gate = Gate(lambda: 0.0, Random(1))
    known(gate, *(f"whk_{number}" for number in range(10)))
    with ExitStack() as under_way:
        for number in range(MOST_OF_OWNER):
            under_way.enter_context(gate.entered(f"whk_{number}", owner="usr_1", failing=False))
        with pytest.raises(Snooze), gate.entered("whk_9", owner="usr_1", failing=False):
            pass
        with gate.entered("whk_other", owner="usr_2", failing=False):
            pass


def test_who_never_answers_is_left_alone_for_a_while() -> None:
    now = [0.0]
    gate = Gate(lambda: now[0], Random(1))
    for _ in range(5):
        with gate.entered("whk_1", owner="usr_1", failing=True) as breaker:
            breaker.failed()
    with pytest.raises(Snooze) as refused, gate.entered("whk_1", owner="usr_1", failing=True):
        pass
    assert 10 <= refused.value.seconds <= 15
    now[0] = 10.0
    with gate.entered("whk_1", owner="usr_1", failing=True) as breaker:
        breaker.succeeded()
    with gate.entered("whk_1", owner="usr_1", failing=False):
        pass


def test_who_is_not_known_yet_leaves_room_for_those_that_are_however_many_owners_there_are() -> None:
    gate = Gate(lambda: 0.0, Random(1))
    known(gate, "whk_well")
    with ExitStack() as under_way:
        for number in range(MOST_UNKNOWN):
            under_way.enter_context(gate.entered(f"whk_{number}", owner=f"usr_{number}", failing=False))
        with pytest.raises(Snooze), gate.entered("whk_new", owner="usr_new", failing=False):
            pass
        for _ in range(MOST_OF_ONE):
            under_way.enter_context(gate.entered("whk_well", owner="usr_well", failing=False))
        with gate.entered("whk_failing", owner="usr_failing", failing=True):
            pass
    with gate.entered("whk_new", owner="usr_new", failing=False):
        pass
    assert MOST_SLOW + MOST_UNKNOWN + MOST_OF_OWNER < PLACES


def test_what_waits_is_looked_at_again_later_and_later() -> None:
    gate = Gate(lambda: 0.0, Random(1))
    with gate.entered("whk_1", owner="usr_1", failing=False):
        for snoozed, most in ((0, 3), (1, 6), (5, 96), (7, 300), (1000, 300)):
            with pytest.raises(Snooze) as checked:
                gate.check("whk_1", snoozed=snoozed)
            with pytest.raises(Snooze) as refused:
                enter(gate, snoozed=snoozed)
            for one in (checked, refused):
                assert most / 2 <= one.value.seconds <= most
    gate.check("whk_1", snoozed=0)
    gate.check("whk_2", snoozed=0)


def enter(gate: Gate, *, snoozed: int) -> None:
    with gate.entered("whk_1", owner="usr_1", failing=False, snoozed=snoozed):
        pass


def test_of_who_is_left_alone_nothing_need_be_read() -> None:
    now = [0.0]
    gate = Gate(lambda: now[0], Random(1))
    for _ in range(5):
        with gate.entered("whk_1", owner="usr_1", failing=True) as breaker:
            breaker.failed()
    with pytest.raises(Snooze) as refused:
        gate.check("whk_1", snoozed=0)
    assert 10 <= refused.value.seconds <= 15
    now[0] = 10.0
    for _ in range(2):
        gate.check("whk_1", snoozed=0)  # it does not use up the one request that is let through
    with gate.entered("whk_1", owner="usr_1", failing=True) as breaker:
        breaker.succeeded()
