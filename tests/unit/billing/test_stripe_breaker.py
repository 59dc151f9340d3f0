"""A Stripe that is away is not asked again at once: after five failures in a row calls are refused without a call."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from promptforge.actors.billing.errors import StripeDeclined, StripeUnavailable
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.core.breaker import FAILURES, FIRST_PAUSE_SECONDS

pytestmark = pytest.mark.anyio


class Away:
    """Stripe, answering what it is told to; counts how often it was asked."""

    def __init__(self, error: stripe.StripeError) -> None:
        self.error = error
        self.asked = 0

    async def __call__(self, client: object) -> Any:  # Any: it never answers
        self.asked += 1
        raise self.error


async def test_after_five_failures_in_a_row_calls_are_refused_at_once() -> None:
    error = stripe.APIConnectionError("away")  # type: ignore[no-untyped-call]  # the SDK has no types there
    api, away = StripeApi("sk_test_x"), Away(error)
    for _ in range(FAILURES):
        with pytest.raises(StripeUnavailable):
            await api.read(away, about="something")
    with pytest.raises(StripeUnavailable) as refused:
        await api.write(away, about="something")
    assert away.asked == FAILURES, "the call that was refused was made"
    assert refused.value.retry_after_seconds == pytest.approx(FIRST_PAUSE_SECONDS, abs=1)
    await api.close()


async def test_what_stripe_refuses_is_no_failure_of_stripes() -> None:
    error = stripe.InvalidRequestError("no", "amount", http_status=400)  # type: ignore[no-untyped-call]  # as above
    api, says_no = StripeApi("sk_test_x"), Away(error)
    for _ in range(FAILURES + 1):
        with pytest.raises(StripeDeclined):
            await api.write(says_no, about="something")
    assert says_no.asked == FAILURES + 1
    await api.close()
