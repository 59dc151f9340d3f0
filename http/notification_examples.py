"""What the examples of notifications, settings and webhooks say; see `http/examples.py`."""

from __future__ import annotations

from typing import Any

TOLD: dict[str, Any] = {  # Any: JSON
    "locale": "pt-BR",
    "default_model": "gpt-4.1-mini",
    "KindChannelsView.kind": "listing.sold",
    "KindChannelsView.title": "A listing of yours was bought",
    "NotificationView.kind": "listing.sold",
    "NotificationView.title": "Sold",
    "WebhookView.url": "https://n8n.example.com/webhook/promptforge",
    "WebhookView.description": "Writes sales into a sheet",
    "WebhookView.kinds[]": "listing.sold",
    "WebhookView.state": "enabled",
    "WebhookView.reason": None,
    "WebhookSecretView.secret": "whsec_3RCGwbQ0cMTaCHl5+9d1kTdxvVDKZKqvxWrJ5k9nUQ0=",
    "DeliveryView.event_id": "ntf_01k8y3w5q2m7t9x4c6v1b8n0ra",
    "DeliveryView.webhook_id": "whk_01k8y3w5q2m7t9x4c6v1b8n0ra",
    "DeliveryView.kind": "listing.sold",
    "DeliveryView.state": "delivered",
    "DeliveryView.reason": None,
    "DeliveryView.error": None,
    "outcome": "200",
    "EmailChannelView.state": "on",
    "EmailChannelView.address": "ada@example.com",
    "EmailChannelView.reason": None,
    "ReportBounce.reason": "550 5.1.1 No such mailbox",
    "StreamTicketView.ticket": "pft_2tQ0sHq4l7kTnVwGcY9mJr6bXeA1ZdPu3oKiC8fRyNE",
}
