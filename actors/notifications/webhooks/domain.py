"""Webhooks, their secrets, and what follows from how an attempt went.

Attempts are made for about a day, further and further apart and at random within bounds, so that a receiver that comes
back is not met by everybody at once. An address that answers 410 wants no more. One to which nothing has got through
for the most of a day by the time that something is given up is left alone, and its owner is told.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

import orjson

from promptforge.actors.notifications.deliveries.domain import KEPT, Delivery
from promptforge.actors.notifications.deliveries.messages import DeliveryState
from promptforge.actors.notifications.messages import NotificationView
from promptforge.actors.notifications.webhooks.messages import (
    DeliveryAttemptView,
    DeliveryView,
    WebhookState,
    WebhookView,
)
from promptforge.core.egress import Answer

MOST_WEBHOOKS = 10
MOST_OF_AN_APP = 5
"""Beside those of its owner: an app takes nobody's room but its own."""
OLD_SECRET_LASTS = timedelta(days=1)
DELAYS_SECONDS = (5, 60, 300, 1200, 3600, 10_800, 21_600, 43_200)
"""After the first failure, the second, and so on: together 22.4 hours, and from 18 to 27 with chance."""
LEAST_SHARE, MOST_SHARE = 0.8, 1.2
PERSISTENT = timedelta(hours=16)
"""Less than the least that all attempts take together."""
LONGEST_ASKED_SECONDS = 3600.0
MISSED_FOR = KEPT
"""After it was disabled, or last changed."""
WEBHOOK_DISABLED = "webhook_disabled"
"""Why something was not sent."""
TEST_KIND = "webhook.test"


@dataclass(frozen=True, slots=True)
class Webhook:
    """`secret` and `old_secret` are sealed."""

    id: str
    user_id: str
    url: str
    description: str | None
    kinds: tuple[str, ...]
    state: WebhookState
    reason: str | None
    secret: bytes
    old_secret: bytes | None
    old_secret_until: datetime | None
    failing_since: datetime | None
    delivered_at: datetime | None
    created_at: datetime
    updated_at: datetime
    app_id: str | None = None
    app_generation: int = 0
    """Of the app when this was made."""
    test_id: str | None = None
    """The delivery of the latest test."""

    @property
    def enabled(self) -> bool:
        return self.state is WebhookState.ENABLED

    def wants(self, kind: str) -> bool:
        return not self.kinds or kind in self.kinds

    def notes_missed(self, now: datetime) -> bool:
        """What a disabled one misses is kept for its owner, who may enable it again, but not for ever."""
        return now - self.updated_at < MISSED_FOR

    def view(self) -> WebhookView:
        return WebhookView(
            id=self.id,
            url=self.url,
            description=self.description,
            kinds=self.kinds,
            state=self.state,
            reason=self.reason,
            failing_since=self.failing_since,
            delivered_at=self.delivered_at,
            old_secret_until=self.old_secret_until,
            created_at=self.created_at,
            updated_at=self.updated_at,
            app_id=self.app_id,
        )


def new_secret() -> str:
    """As Standard Webhooks wants it: 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery after an attempt, and of its webhook: `disable` is the reason, where it is to be."""

    state: DeliveryState
    retry_seconds: float | None = None
    disable: str | None = None


TO_THE_NEW = Verdict(DeliveryState.PENDING, retry_seconds=DELAYS_SECONDS[0])
"""Where the address was changed while the one of before was called: that one's answer decides nothing."""


def verdict_of(answer: Answer, delivery: Delivery, webhook: Webhook, *, now: datetime, rng: Random) -> Verdict:
    """A test is tried once."""
    if answer.ok:
        return Verdict(DeliveryState.DELIVERED)
    if answer.status == 410:
        return Verdict(DeliveryState.FAILED, disable="gone")
    if delivery.is_test:
        return Verdict(DeliveryState.FAILED)
    if delivery.failures < len(DELAYS_SECONDS):
        seconds = DELAYS_SECONDS[delivery.failures] * rng.uniform(LEAST_SHARE, MOST_SHARE)
        asked = min(answer.retry_after_seconds or 0.0, LONGEST_ASKED_SECONDS)
        return Verdict(DeliveryState.PENDING, retry_seconds=max(seconds, asked))
    persistent = webhook.failing_since is not None and now - webhook.failing_since >= PERSISTENT
    return Verdict(DeliveryState.FAILED, disable="failing" if persistent else None)


def outcome_of(answer: Answer) -> str:
    return str(answer.status) if answer.status is not None else str(answer.problem)


def payload_of(delivery: Delivery, told: NotificationView | None) -> bytes:
    """The same bytes whenever the same is sent: `type`, `timestamp` and `data`, as Standard Webhooks has it."""
    if told is None:
        data: dict[str, object] = {
            "id": delivery.event_id,
            "title": "A test",
            "body": "This is what notifications look like here.",
            "subject": {},
        }
    else:
        data = {"id": told.id, "title": told.title, "body": told.body, "subject": told.subject}
    event = {"type": delivery.kind, "timestamp": _written(delivery.created_at), "data": data}
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def delivery_view(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        id=delivery.id,
        webhook_id=delivery.channel,
        event_id=delivery.event_id,
        kind=delivery.kind,
        state=delivery.state,
        reason=delivery.reason,
        attempts=tuple(DeliveryAttemptView(one.at, one.outcome, one.milliseconds) for one in delivery.attempts),
        created_at=delivery.created_at,
        ended_at=delivery.ended_at,
        error=delivery.error,
    )
