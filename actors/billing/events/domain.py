"""An event as it is kept, and what is refused of any type before a handler sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from promptforge.actors.billing.messages import WebhookEventState, WebhookEventView
from promptforge.core.personal import reduced_to

FINISHED = frozenset({WebhookEventState.PROCESSED, WebhookEventState.IGNORED, WebhookEventState.QUARANTINED})
NEWEST_API_VERSION = "2026-10-28"
"""The SDK's: what a later one means by its fields nobody here can know."""
OLDEST_API_VERSION = "2011-01-01"
"""Stripe's first ones are of that year."""
_API_VERSION = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})(\.[a-z][a-z_]*)?", re.ASCII)
"""`2026-10-28.endive`, and before 2024-09-30 the bare date (docs.stripe.com/sdks/versioning)."""
_OF_THE_OBJECT = ("object", "id", "mode", "payment_status", "amount_subtotal", "currency", "client_reference_id")
_NEEDED = ("object", "id", "type", "context", *(f"data.object.{name}" for name in _OF_THE_OBJECT))
NEEDED = reduced_to(*_NEEDED, years=10)
"""All of a payload that handlers get to see: everything else they ask Stripe. None of it tells of anybody, so it is
what is left when its person has gone, and the event can still be applied."""


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """An event as it was recorded; `attempts` have begun to apply it, and `reason` is why the last one failed."""

    event_id: str
    type: str
    api_version: str | None
    livemode: bool
    account: str | None
    created: int
    payload: dict[str, Any]  # Any: JSON
    state: WebhookEventState
    attempts: int
    reason: str | None
    received_at: datetime
    finished_at: datetime | None

    def needed(self) -> StripeEvent:
        return replace(self, payload=NEEDED.after(self.payload, self.event_id))

    def view(self) -> WebhookEventView:
        return WebhookEventView(
            event_id=self.event_id,
            type=self.type,
            state=self.state,
            livemode=self.livemode,
            account=self.account,
            api_version=self.api_version,
            attempts=self.attempts,
            reason=self.reason,
            received_at=self.received_at,
            finished_at=self.finished_at,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an event ends, and why where that is not obvious."""

    state: WebhookEventState
    reason: str | None = None


def ignored(reason: str) -> Outcome:
    return Outcome(WebhookEventState.IGNORED, reason)


OF_WHO_LEFT = "the account is closed, and nobody has the credits: refund the payment at Stripe"
"""An account waits for payments before it closes, so this is one that began in the same moment."""


def quarantined(reason: str) -> Outcome:
    return Outcome(WebhookEventState.QUARANTINED, reason)


def refusal(event: StripeEvent, *, livemode: bool) -> Outcome | None:
    """How an event ends that no handler gets to see; None where it is in order.

    Connected accounts have test events too, and Stripe sends them to live endpoints (docs.stripe.com/connect/webhooks).
    """
    if event.livemode is not livemode:
        if event.account is not None and livemode:
            return ignored("it is a connected account's test")
        return quarantined(f"livemode is {str(event.livemode).lower()}, and this service runs with the other one")
    if not _is_known(event.api_version or ""):
        return quarantined(f"the API version is {event.api_version}")
    return None


def _is_known(version: str) -> bool:
    match = _API_VERSION.fullmatch(version)
    if match is None or not OLDEST_API_VERSION <= match["day"] <= NEWEST_API_VERSION:
        return False
    try:
        date.fromisoformat(match["day"])
    except ValueError:
        return False
    return True
