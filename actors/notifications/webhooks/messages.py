"""Outbound webhooks: notifications as signed POSTs (Standard Webhooks) to addresses that people name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len
from pydantic import MISSING, Field

from promptforge.actors.notifications.deliveries.messages import DeliveryState
from promptforge.actors.notifications.preferences.messages import KindName
from promptforge.actors.partnerships.apps.messages import AppId
from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.text import LINE

WebhookId = Annotated[str, Len(1, 64)]
DeliveryId = Annotated[str, Len(1, 64)]
WebhookUrl = Annotated[
    str,
    Len(1, 2000),
    Field(
        examples=["https://n8n.example.com/webhook/promptforge"],
        description="Begins with https:// and leads to the public internet",
    ),
]
Kinds = Annotated[
    tuple[KindName, ...],
    Len(0, 100),
    Field(examples=[["listing.sold"]], description="Only these kinds of notifications; none means all"),
]
Description = Annotated[str, Len(1, 200), LINE, Field(examples=["Writes sales into a sheet"])]


class WebhookState(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class WebhookView:
    """`reason`: why it is disabled: `owner`, `gone` (it answered 410) or `failing`.

    `failing_since` is when it first failed after it last worked. Until `old_secret_until` what is sent is signed with
    the secret before, too. `app_id`: the app of a partner's that it is tied to.
    """

    id: str
    url: str
    description: str | None
    kinds: tuple[str, ...]
    state: WebhookState
    reason: str | None
    failing_since: datetime | None
    delivered_at: datetime | None
    old_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime
    app_id: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookSecretView:
    """`secret` is shown this once; null where the same request is answered again."""

    id: str
    webhook: WebhookView
    secret: str | None

    def without_secrets(self) -> WebhookSecretView:
        """What may be stored of this reply."""
        return WebhookSecretView(self.id, self.webhook, None)


@dataclass(frozen=True, slots=True)
class WebhooksView:
    """Your webhooks, oldest first."""

    items: tuple[WebhookView, ...]


@dataclass(frozen=True, slots=True)
class DeliveryAttemptView:
    """`outcome` is the HTTP status that was answered, or why there was none."""

    at: datetime
    outcome: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One notification on its way to a webhook. `event_id` is its `webhook-id`, the same however often it is sent.

    `reason`: why it was not to be sent any more, or was given up by us (`job_died`, `job_cancelled`, `job_lost`), with
    our last failure as `error`; null where the receiver's answers, in `attempts`, say it all.
    """

    id: str
    webhook_id: str
    event_id: str
    kind: str
    state: DeliveryState
    reason: str | None
    attempts: tuple[DeliveryAttemptView, ...]
    created_at: datetime
    ended_at: datetime | None
    error: str | None = None


@requires(scope="webhooks:write", fresh=True)
class CreateWebhook(Command[WebhookSecretView]):
    """Have your notifications sent to an address of yours, as signed POSTs; the secret is shown this once.

    Addresses must be public and use https (422 `url_refused`). You can have ten, and each app five of its own (409
    `too_many_webhooks`). `app_id` ties it to an app of your partnership (422 `app_not_active` where that may not act):
    nothing is sent while the app may not act, and it is deleted with the app. What an app itself makes is tied to it,
    and no others are there for it.
    """

    url: WebhookUrl
    kinds: Kinds = ()
    description: Description | None = None
    app_id: AppId | None = None


@requires(scope="webhooks:read")
class ListWebhooks(Query[WebhooksView]):
    """List your webhooks."""


@requires(scope="webhooks:read")
class GetWebhook(Query[WebhookView]):
    """Read one of your webhooks."""

    webhook_id: WebhookId


@requires(scope="webhooks:write", fresh=True)
class UpdateWebhook(Command[WebhookView]):
    """Change one of your webhooks: only what is sent changes. Its secret stays."""

    webhook_id: WebhookId
    url: WebhookUrl | MISSING = MISSING
    kinds: Kinds | MISSING = MISSING
    description: Description | MISSING | None = MISSING


@requires(scope="webhooks:write", while_suspended=True)
class DeleteWebhook(Command[None]):
    """Delete one of your webhooks; what was on its way is not sent any more."""

    webhook_id: WebhookId


@requires(scope="webhooks:write", fresh=True)
class RotateWebhookSecret(Command[WebhookSecretView]):
    """Give a webhook another secret, which is shown this once.

    For a day everything is signed with both, so that the receiver can change over; then the old one is gone.
    """

    webhook_id: WebhookId


@requires(scope="webhooks:write", while_suspended=True)
class DisableWebhook(Command[WebhookView]):
    """Send nothing to a webhook for now.

    What happens meanwhile is not sent by itself later. For 30 days its deliveries have it as `skipped`, and once the
    webhook is enabled again each of them can be sent.
    """

    webhook_id: WebhookId


@requires(scope="webhooks:write")
class EnableWebhook(Command[WebhookView]):
    """Send to a webhook again. What was missed can be sent again from its deliveries."""

    webhook_id: WebhookId


@requires(scope="webhooks:write")
class TestWebhook(Command[DeliveryView]):
    """Send a test event (`webhook.test`) to a webhook; how that went is in its deliveries.

    One at a time: 409 `delivery_pending` while the one before is on its way.
    """

    __test__ = False  # pytest looks at classes by their name

    webhook_id: WebhookId


@requires(scope="webhooks:read")
class ListWebhookDeliveries(Query[Page[DeliveryView]]):
    """List what was sent to a webhook, or is to be, newest first. Kept for 30 days, without what receivers said."""

    webhook_id: WebhookId
    state: DeliveryState | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="webhooks:read")
class GetWebhookDelivery(Query[DeliveryView]):
    """Read how one delivery went."""

    webhook_id: WebhookId
    delivery_id: DeliveryId


@requires(scope="webhooks:write")
class RedeliverWebhook(Command[DeliveryView]):
    """Send something once more, with the same id. While it is still on its way that is 409 `delivery_pending`."""

    webhook_id: WebhookId
    delivery_id: DeliveryId


@internal
@job(queue="webhooks", timeout_seconds=45.0)
class SendWebhook(Command[None]):
    """Make one attempt at a delivery to a webhook: `webhook_id`, so that nothing is read where it has to wait."""

    delivery_id: DeliveryId
    webhook_id: WebhookId | None = None
