"""What the service tells people."""

from promptforge.actors.notifications.actor import NotificationsActor
from promptforge.actors.notifications.messages import (
    CountUnread,
    ListNotifications,
    MarkAllRead,
    MarkRead,
    NotifyUser,
)

__all__ = ["CountUnread", "ListNotifications", "MarkAllRead", "MarkRead", "NotificationsActor", "NotifyUser"]
