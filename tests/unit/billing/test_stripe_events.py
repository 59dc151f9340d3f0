"""What an event from Stripe means before anything is looked up. The objects are the real SDK's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from promptforge.actors.billing.checkouts.domain import Checkout
from promptforge.actors.billing.events.checkouts import SessionFact, session_fact
from promptforge.actors.billing.events.domain import NEWEST_API_VERSION, Outcome, StripeEvent, refusal
from promptforge.actors.billing.events.handling import EventHandler, Origin, refusal_of_origin, table_of
from promptforge.actors.billing.messages import CheckoutState, WebhookEventState
from promptforge.actors.billing.packs import CreditPack
from promptforge.core.errors import ConfigurationError

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def session(**changes: Any) -> dict[str, Any]:  # Any: JSON
    return {
        "id": "cs_test_1",
        "object": "checkout.session",
        "mode": "payment",
        "payment_status": "paid",
        "amount_subtotal": 500,
        "amount_total": 595,
        "currency": "usd",
        **changes,
    }


def event(**changes: Any) -> StripeEvent:  # Any: an event's fields
    payload = {"id": "evt_1", "object": "event", "data": {"object": changes.pop("session", session())}}
    sent = stripe.Event.construct_from(payload, "sk_test_1").to_dict()  # through the SDK, as the webhook gets it
    plain = StripeEvent(
        event_id="evt_1",
        type="checkout.session.completed",
        api_version="2026-10-28.endive",
        livemode=False,
        account=None,
        created=1,
        payload=sent,
        state=WebhookEventState.RECEIVED,
        attempts=0,
        reason=None,
        received_at=NOW,
        finished_at=None,
    )
    return replace(plain, **changes)


def state_of(verdict: object) -> WebhookEventState:
    assert isinstance(verdict, Outcome), verdict
    assert verdict.reason
    return verdict.state


@pytest.mark.parametrize("kind", ["checkout.session.completed", "checkout.session.async_payment_succeeded"])
def test_a_paid_session_is_a_fact(kind: str) -> None:
    assert session_fact(event(type=kind)) == SessionFact("cs_test_1", True, 500, "usd")


@pytest.mark.parametrize("status", ["unpaid", "no_payment_required"])
def test_a_session_that_nobody_paid_for_says_so(status: str) -> None:
    fact = session_fact(event(session=session(payment_status=status)))
    assert isinstance(fact, SessionFact)
    assert not fact.paid


@pytest.mark.parametrize("version", ["2026-10-28.endive", "2024-06-20", "2025-03-31.basil"])
def test_versions_that_stripe_has_are_read(version: str) -> None:
    assert refusal(event(api_version=version), livemode=False) is None


NOBODYS: list[str | None] = [
    None,
    "",
    "2026-10-28.endive\n",
    "v2",
    "2026-10-28.Endive",
    "99",
    "2026-10-29.endive",
    "2099-01-01",
]
NO_DAYS = ["1999-13-77", "2025-02-31.basil", "1999-01-01", "2025-13-01"]


@pytest.mark.parametrize("version", [*NOBODYS, *NO_DAYS])
def test_versions_that_nobody_knows_are_quarantined(version: str | None) -> None:
    assert state_of(refusal(event(api_version=version), livemode=False)) == "quarantined"


def test_the_newest_version_is_the_one_of_the_sdk() -> None:
    assert stripe.api_version.partition(".")[0] == NEWEST_API_VERSION


@pytest.mark.parametrize(("sent", "own"), [(True, False), (False, True)])
def test_events_of_the_other_mode_are_quarantined(*, sent: bool, own: bool) -> None:
    assert state_of(refusal(event(livemode=sent), livemode=own)) == "quarantined"


def test_a_connected_accounts_test_is_ignored_by_a_live_service() -> None:
    assert state_of(refusal(event(account="acct_1"), livemode=True)) == "ignored"


@pytest.mark.parametrize(
    ("account", "origin", "applies"),
    [
        (None, Origin.PLATFORM, True),
        ("acct_1", Origin.PLATFORM, False),
        ("acct_1", Origin.CONNECTED, True),
        (None, Origin.CONNECTED, False),
    ],
)
def test_an_event_counts_only_from_where_its_type_comes(account: str | None, origin: Origin, *, applies: bool) -> None:
    assert (refusal_of_origin(event(account=account), origin) is None) == applies


def test_an_event_in_the_context_of_another_account_is_not_about_our_objects() -> None:
    told = replace(event(), payload={**event().payload, "context": "acct_1"})
    assert refusal_of_origin(told, Origin.PLATFORM) is not None
    assert refusal_of_origin(replace(told, payload={**told.payload, "context": None}), Origin.PLATFORM) is None


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"data": None},
        {"data": {"object": {}}},
        {"data": {"object": session(amount_subtotal="500")}},
        {"data": {"object": session(amount_subtotal=500.0)}},
        {"data": {"object": session(object="payment_intent")}},
        {"data": {"object": session(id=7)}},
    ],
)
def test_payloads_of_another_shape_are_quarantined(payload: dict[str, Any]) -> None:  # Any: JSON
    assert state_of(session_fact(replace(event(), payload=payload))) == "quarantined"


def test_subscription_sessions_are_ignored_here() -> None:
    assert state_of(session_fact(event(session=session(mode="subscription")))) == "ignored"


class _Takes:
    """A handler that is never called."""

    origin = Origin.PLATFORM

    def __init__(self, *types: str) -> None:
        self.types = frozenset(types)

    async def read(self, event: StripeEvent) -> Outcome:
        raise AssertionError(event.type)


def test_each_type_has_one_handler() -> None:
    one: EventHandler = _Takes("a", "b")
    assert table_of([one, _Takes("c")]).keys() == {"a", "b", "c"}
    with pytest.raises(ConfigurationError, match="b"):
        table_of([one, _Takes("b")])


@pytest.mark.parametrize(
    ("amount", "currency", "same"),
    [(500, "usd", True), (499, "usd", False), (501, "usd", False), (500, "eur", False), (None, "usd", False)],
)
def test_a_payment_matches_its_checkout_in_subtotal_and_currency(
    amount: int | None, currency: str | None, *, same: bool
) -> None:
    pack = CreditPack("pack", 500_000, 0, 500)
    checkout = Checkout("chk_1", "usr_1", pack, "key", CheckoutState.OPEN, "cs_test_1", None, NOW, None)
    assert (checkout.mismatch(amount_subtotal=amount, currency=currency) is None) == same
