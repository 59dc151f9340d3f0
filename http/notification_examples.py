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
}
