"""What the service tells a person: kept, in order, and read or unread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Len

from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page

NotificationId = Annotated[str, Len(1, 64)]


@dataclass(frozen=True, slots=True)
class NotificationView:
    """`kind` is a stable name such as `listing.sold`; `subject` names what it is about: kinds of ids and ids."""

    id: str
    kind: str
    title: str
    body: str
    subject: dict[str, str]
    read_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UnreadView:
    unread: int


@dataclass(frozen=True, slots=True)
class MarkedView:
    """How many notifications were unread until now."""

    marked: int


@internal
class NotifyUser(Command[None]):
    """Tell a person something; once per `dedupe_key`, however often it is sent.

    `kind` is one of `notifications/kinds.py`, which says what becomes of it.
    """

    user_id: Annotated[str, Len(1, 64)]
    kind: Annotated[str, Len(1, 64)]
    title: Annotated[str, Len(1, 300)]
    body: Annotated[str, Len(1, 4000)]
    subject: dict[str, str]
    dedupe_key: Annotated[str, Len(1, 200)]


@internal
class DropAppWebhooks(Command[int]):
    """Delete the webhooks that are tied to an app: those from before a generation of it, or all; answers how many."""

    app_id: Annotated[str, Len(1, 64)]
    owner_id: Annotated[str, Len(1, 64)]
    before: int | None = None


@requires(scope="notifications:read")
class ListNotifications(Query[Page[NotificationView]]):
    """List your notifications, newest first; with `unread=true` only those you have not read."""

    unread: bool = False
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="notifications:read")
class CountUnread(Query[UnreadView]):
    """Count the notifications you have not read."""


@requires(scope="notifications:write", while_suspended=True)
class MarkRead(Command[NotificationView]):
    """Mark one of your notifications as read; a second time changes nothing."""

    notification_id: NotificationId


@requires(scope="notifications:write", while_suspended=True)
class DeleteNotification(Command[None]):
    """Delete one of your notifications for good. What was not sent by email or webhook yet will not be."""

    notification_id: NotificationId


@requires(scope="notifications:write", while_suspended=True)
class MarkAllRead(Command[MarkedView]):
    """Mark all your notifications as read."""
