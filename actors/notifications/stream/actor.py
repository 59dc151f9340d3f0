"""Answers what came after an event, and makes tickets."""

from __future__ import annotations

from promptforge.actors.notifications.store import NotificationStore
from promptforge.actors.notifications.stream.messages import (
    CreateStreamTicket,
    Followed,
    FollowNotifications,
    RedeemStreamTicket,
    StreamTicketView,
)
from promptforge.actors.notifications.stream.store import LASTS, TicketStore
from promptforge.actors.users.messages import GetIdentity, Identity
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.runtime import Actor, handles

PAGE = 100


class StreamActor(Actor):
    name = "notification_stream"
    asks = ("users",)

    def __init__(self, notifications: NotificationStore, tickets: TicketStore) -> None:
        self._notifications = notifications
        self._tickets = tickets

    @handles(FollowNotifications)
    async def follow(self, message: FollowNotifications, context: Context) -> Followed:
        latest = await self._notifications.latest_number(context.user_id)
        if message.last_event_id is None:
            return Followed((), latest, more=False)
        after = int(message.last_event_id)
        if after > latest:
            error = FieldError("You were never sent an event with this id", "unknown_event", parameter="last_event_id")
            raise Invalid("There is no such event", errors=(error,))
        return await self._notifications.list_after(context.user_id, after, limit=PAGE)

    @handles(CreateStreamTicket, transactional=True)
    async def create_ticket(self, message: CreateStreamTicket, context: Context) -> StreamTicketView:
        now = context.now()
        ticket = await self._tickets.make(context.user_id, now=now, session=context.session)
        return StreamTicketView(ticket, now + LASTS)

    @handles(RedeemStreamTicket)
    async def redeem(self, message: RedeemStreamTicket, context: Context) -> Identity | None:
        user_id = await self._tickets.redeem(message.ticket, now=context.now())
        return None if user_id is None else await context.ask(GetIdentity(user_id=user_id))
