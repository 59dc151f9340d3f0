"""What the service told a person."""

from __future__ import annotations

from promptforge.actors.notifications.messages import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkAllRead,
    MarkRead,
)
from promptforge.http.routing import delete, get, post

routes = [
    get("/notifications", ListNotifications),
    get("/notifications/unread", CountUnread, name="countUnreadNotifications"),
    post("/notifications/read", MarkAllRead, name="markAllNotificationsRead"),
    post("/notifications/{notification_id}/read", MarkRead, name="markNotificationRead"),
    delete("/notifications/{notification_id}", DeleteNotification),
]
