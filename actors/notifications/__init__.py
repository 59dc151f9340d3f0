"""What the service tells people."""

from promptforge.actors.notifications.actor import NotificationsActor
from promptforge.actors.notifications.mail.actor import MailActor
from promptforge.actors.notifications.mail.sending import MailSendingActor
from promptforge.actors.notifications.messages import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkAllRead,
    MarkRead,
    NotifyUser,
)
from promptforge.actors.notifications.preferences.actor import PreferencesActor
from promptforge.actors.notifications.stream.actor import StreamActor
from promptforge.actors.notifications.webhooks.actor import WebhooksActor
from promptforge.actors.notifications.webhooks.sending import WebhookSendingActor

__all__ = [
    "CountUnread",
    "DeleteNotification",
    "ListNotifications",
    "MailActor",
    "MailSendingActor",
    "MarkAllRead",
    "MarkRead",
    "NotificationsActor",
    "NotifyUser",
    "PreferencesActor",
    "StreamActor",
    "WebhookSendingActor",
    "WebhooksActor",
]
