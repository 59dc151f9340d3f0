"""Keeps what people are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from promptforge.actors.notifications.kinds import kind_of
from promptforge.actors.notifications.messages import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkAllRead,
    MarkedView,
    MarkRead,
    NotificationView,
    NotifyUser,
    UnreadView,
)
from promptforge.actors.notifications.preferences.domain import carries
from promptforge.actors.notifications.preferences.messages import Channel
from promptforge.actors.notifications.preferences.store import PreferenceStore
from promptforge.actors.notifications.store import NotificationStore
from promptforge.actors.users.messages import GetContact
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles


class Outlet(Protocol):
    """A way out of this service."""

    async def record(self, told_id: str, message: NotifyUser, tx: Context) -> None:
        """Record what is to be sent, in the transaction that tells it, and enqueue its sending."""
        ...


class NotificationsActor(Actor):
    """`outlets`: where what is told goes besides the list of it."""

    name = "notifications"
    asks = ("users",)

    def __init__(self, store: NotificationStore, preferences: PreferenceStore, outlets: Sequence[Outlet] = ()) -> None:
        self._outlets = tuple(outlets)
        self._store = store
        self._preferences = preferences

    @handles(NotifyUser, key="user_id", atomic=True)
    async def notify(self, message: NotifyUser, context: Context) -> None:
        """What is not to be shown is kept all the same, for the other channels; who has gone is told nothing."""
        session = context.session
        if session is None:
            raise RuntimeError("an atomic handler has a transaction")
        if await context.ask(GetContact(user_id=message.user_id)) is None:
            return
        chosen = await self._preferences.chosen_by(message.user_id, session=session)
        shown = carries(Channel.IN_APP, kind_of(message.kind), chosen)
        told_id = await self._store.insert_once(message, shown=shown, now=context.now(), session=session)
        if told_id is not None:
            for outlet in self._outlets:
                await outlet.record(told_id, message, context)

    @handles(ListNotifications)
    async def list_notifications(self, message: ListNotifications, context: Context) -> Page[NotificationView]:
        cursor = Cursor.decode_optional(message.cursor)
        return await self._store.list_page(context.user_id, unread=message.unread, cursor=cursor, limit=message.limit)

    @handles(CountUnread)
    async def count_unread(self, message: CountUnread, context: Context) -> UnreadView:
        return UnreadView(await self._store.count_unread(context.user_id))

    @handles(MarkRead, transactional=True)
    async def mark_read(self, message: MarkRead, context: Context) -> NotificationView:
        now, session = context.now(), context.session
        return await self._store.mark_read(message.notification_id, context.user_id, now=now, session=session)

    @handles(DeleteNotification, transactional=True)
    async def delete(self, message: DeleteNotification, context: Context) -> None:
        await self._store.delete(message.notification_id, context.user_id, now=context.now(), session=context.session)

    @handles(MarkAllRead, transactional=True)
    async def mark_all_read(self, message: MarkAllRead, context: Context) -> MarkedView:
        now, session = context.now(), context.session
        return MarkedView(await self._store.mark_all_read(context.user_id, now=now, session=session))
