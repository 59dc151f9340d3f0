"""Notifications as a log that can be followed, and tickets for browsers, whose event streams send no headers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.actors.notifications.messages import NotificationView
from promptforge.actors.users.messages import Identity
from promptforge.core.messages import Command, Query, internal, requires

Ticket = Annotated[str, Len(1, 100), Field(examples=["pft_2tQ0sHq4l7kTnVwGcY9mJr6bXeA1ZdPu3oKiC8fRyNE"])]
EventId = Annotated[
    str,
    Field(
        pattern=r"^(?:0|[1-9][0-9]{0,17})$",
        examples=["41"],
        description="The id of the last event you have; the header Last-Event-ID says the same, and counts first",
    ),
]


@dataclass(frozen=True, slots=True)
class Followed:
    """What comes after an event, in order. `position` is the last number looked at; `more`: there is more at once."""

    items: tuple[tuple[int, NotificationView], ...]
    position: int
    more: bool


@requires(scope="notifications:read")
class FollowNotifications(Query[Followed]):
    """Follow what you are told, as server-sent events: what came after `last_event_id`, and then what happens.

    An event `notification` has a notification in its data. `ready` comes first and says where the stream begins; `end`
    has a `code` that says why it ends. The id of each is what to come back with. Who cannot send an Authorization
    header (a browser's EventSource) comes with a `ticket`.
    """

    last_event_id: EventId | None = None
    ticket: Ticket | None = None


@dataclass(frozen=True, slots=True)
class StreamTicketView:
    """`ticket` opens one stream, once, until `expires_at`; null where the same request is answered again."""

    ticket: str | None
    expires_at: datetime

    def without_secrets(self) -> StreamTicketView:
        """What may be stored of this reply."""
        return StreamTicketView(None, self.expires_at)


@requires(while_suspended=True)
class CreateStreamTicket(Command[StreamTicketView]):
    """Get a ticket that opens one event stream of your notifications within a minute, once. Not for API keys."""


@internal
class RedeemStreamTicket(Command[Identity | None]):
    """Whose ticket it is, and it is used up; null where it is none, or no longer."""

    ticket: Ticket
