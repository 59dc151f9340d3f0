"""What the service told a person."""

from __future__ import annotations

from promptforge.actors.notifications.mail.messages import EnableEmail, ReportBounce
from promptforge.actors.notifications.messages import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkAllRead,
    MarkRead,
)
from promptforge.actors.notifications.stream.messages import CreateStreamTicket, FollowNotifications
from promptforge.actors.notifications.webhooks.errors import DeliveryPending, TooManyWebhooks, WebhookDisabled
from promptforge.actors.notifications.webhooks.messages import (
    CreateWebhook,
    DeleteWebhook,
    DisableWebhook,
    EnableWebhook,
    GetWebhook,
    GetWebhookDelivery,
    ListWebhookDeliveries,
    ListWebhooks,
    RedeliverWebhook,
    RotateWebhookSecret,
    TestWebhook,
    UpdateWebhook,
)
from promptforge.core.errors import NotFound
from promptforge.http.routing import delete, follow, get, patch, post

_WEBHOOK = "/notifications/webhooks/{webhook_id}"
_MADE = f"{_WEBHOOK}/deliveries/{{id}}"

routes = [
    get("/notifications", ListNotifications),
    get("/notifications/unread", CountUnread, name="countUnreadNotifications"),
    post("/notifications/read", MarkAllRead, name="markAllNotificationsRead"),
    post("/notifications/{notification_id}/read", MarkRead, name="markNotificationRead"),
    delete("/notifications/{notification_id}", DeleteNotification),
    follow("/notifications/stream", FollowNotifications, name="streamNotifications"),
    post("/notifications/stream/tickets", CreateStreamTicket, status=201),
    post("/notifications/email/enable", EnableEmail),
    post("/notifications/email/bounces", ReportBounce, status=204, errors=(NotFound,)),
    get("/notifications/webhooks", ListWebhooks),
    post("/notifications/webhooks", CreateWebhook, status=201, errors=(TooManyWebhooks,)),
    get(_WEBHOOK, GetWebhook),
    patch(_WEBHOOK, UpdateWebhook),
    delete(_WEBHOOK, DeleteWebhook),
    post(f"{_WEBHOOK}/secret", RotateWebhookSecret),
    post(f"{_WEBHOOK}/enable", EnableWebhook),
    post(f"{_WEBHOOK}/disable", DisableWebhook),
    post(
        f"{_WEBHOOK}/test",
        TestWebhook,
        status=202,
        location=f"{_WEBHOOK}/deliveries/{{id}}",
        errors=(DeliveryPending, WebhookDisabled),
    ),
    get(f"{_WEBHOOK}/deliveries", ListWebhookDeliveries),
    get(f"{_WEBHOOK}/deliveries/{{delivery_id}}", GetWebhookDelivery),
    post(
        f"{_WEBHOOK}/deliveries/{{delivery_id}}/send",
        RedeliverWebhook,
        status=202,
        location=f"{_WEBHOOK}/deliveries/{{id}}",
        errors=(DeliveryPending, WebhookDisabled),
    ),
]
