"""What follows from how an attempt went, without sending anything."""

from __future__ import annotations

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
from promptforge.actors.notifications.webhooks.gate import MOST_FAILING, MOST_OF_ONE, PLACES, Gate
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


def test_all_that_fail_together_leave_room_for_those_that_do_not() -> None:
    gate = Gate(lambda: 0.0, Random(1))
    entered = []
    for number in range(MOST_FAILING):
        one = gate.entered(f"whk_{number}", failing=True)
        one.__enter__()
        entered.append(one)
    with pytest.raises(Snooze), gate.entered("whk_more", failing=True):
        pass
    with gate.entered("whk_well", failing=False):
        pass
    assert MOST_FAILING + MOST_OF_ONE < PLACES / 2
    entered.pop().__exit__(None, None, None)
    with gate.entered("whk_more", failing=True):
        pass


def test_who_never_answers_is_left_alone_for_a_while() -> None:
    now = [0.0]
    gate = Gate(lambda: now[0], Random(1))
    for _ in range(5):
        with gate.entered("whk_1", failing=True) as breaker:
            breaker.failed()
    with pytest.raises(Snooze) as refused, gate.entered("whk_1", failing=True):
        pass
    assert 10 <= refused.value.seconds <= 15
    now[0] = 10.0
    with gate.entered("whk_1", failing=True) as breaker:
        breaker.succeeded()
    with gate.entered("whk_1", failing=False):
        pass
