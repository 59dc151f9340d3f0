"""What the service tells people.

The actors are in modules of their own: those of webhooks ask the partnerships, which know the market, and everybody who
tells people something knows the messages of this one. So this file does not import them.
"""

from promptforge.actors.notifications.messages import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkAllRead,
    MarkRead,
    NotifyUser,
)

__all__ = [
    "CountUnread",
    "DeleteNotification",
    "ListNotifications",
    "MarkAllRead",
    "MarkRead",
    "NotifyUser",
]
