"""What can go wrong with a webhook."""

from __future__ import annotations

from promptforge.core.errors import Conflict


class TooManyWebhooks(Conflict):
    code = "too_many_webhooks"
    title = "You have as many webhooks as one may have"


class DeliveryPending(Conflict):
    code = "delivery_pending"
    title = "It is still on its way"


class WebhookDisabled(Conflict):
    code = "webhook_disabled"
    title = "The webhook is disabled: enable it first"
