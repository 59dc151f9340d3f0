"""Notifications as server-sent events: from the stored log after a given event, and then as they are committed.

The log is the only source. A bell says that there may be something new, and what is new is then read from where the
stream is, so nothing is missed between reading and listening, nothing is kept in memory for a reader, and a reader that
is slower than events come reads them later. One that takes nothing for ten seconds is let go; it comes back with
`Last-Event-ID` and has missed nothing. The asker's rights are judged again when the bell rings, and every minute. An
idle stream is a task that waits: it reads nothing until its bell rings, and sends a comment every twenty seconds.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import anyio
from starlette.types import Receive, Scope, Send

from promptforge.actors.notifications.messages import NotificationView
from promptforge.actors.notifications.stream.messages import Followed, FollowNotifications, RedeemStreamTicket
from promptforge.core.context import Context
from promptforge.core.errors import (
    DATABASE_AWAY,
    AccountSuspended,
    Malformed,
    PromptForgeError,
    Stopping,
    Unauthenticated,
)
from promptforge.core.messages import Access, Requirement
from promptforge.core.principal import Principal
from promptforge.core.runtime.permissions import authorise
from promptforge.http.bells import Bell, Bells
from promptforge.http.binding import binder_of
from promptforge.http.encoding import encode
from promptforge.http.endpoint import Edge
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.live import OpenStreams
from promptforge.http.rates import RateClass
from promptforge.http.routing import Route

MOST_STREAMS = 4000
"""Of one process; idle ones cost their connection and little else."""
PING_SECONDS = 20.0
LOOK_SECONDS = 60.0
SEND_SECONDS = 10.0
AWAY_SECONDS = 1.0
TICKET_SECONDS = 3600.0
"""A stream that was opened with a ticket ends then: nobody knows how long its session goes on."""
RETRY_MILLISECONDS = (1000, 4000)
"""At random, so that those who lose a process do not all come back at once."""
_EVENT_ID = re.compile(rb"0|[1-9][0-9]{0,17}")
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class BadTicket(Unauthenticated):
    code = "bad_ticket"
    title = "This ticket opens nothing (any more): get a fresh one"


class TicketExpired(Unauthenticated):
    code = "ticket_stream_over"
    title = "A stream that a ticket opened lasts an hour: get a fresh one"


class TooSlow(PromptForgeError):
    """The reader takes nothing: the bytes of the last event did not leave in time."""

    code = "too_slow"
    status = 408
    title = "The stream was not read"


@dataclass(frozen=True, slots=True)
class Following:
    """`again`: how the rights of somebody stand now. Raises where they are gone."""

    bells: Bells
    again: Callable[[Principal], Awaitable[Principal]]


class FollowEndpoint:
    """Made once for the route."""

    def __init__(self, route: Route, edge: Edge, following: Following) -> None:
        self.route = route
        self.binder = binder_of(route)
        self._edge = edge
        self._following = following
        self._streams = OpenStreams(MOST_STREAMS)
        self._requirement = route.message.requirement or Requirement(Access.INTERNAL)
        self._rng = Random()  # noqa: S311  # jitter only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        stream = await self._admitted(exchange)
        out = _Out(send)
        if exchange.method == "HEAD":
            await out.head(more=False)
            return
        watch = self._edge.disconnects.watch(exchange, receive)
        self._streams.enter(stream.principal.user_id)
        try:
            with self._following.bells.heard(stream.principal.user_id) as bell:
                await out.head()
                await stream.run(out, bell, retry_milliseconds=self._rng.randint(*RETRY_MILLISECONDS))
        except asyncio.CancelledError:
            if not watch.gone or watch.task is None:
                raise
            watch.task.uncancel()  # its reader has left, which is how most streams end
        finally:
            self._edge.disconnects.leave(watch)
            self._streams.leave(stream.principal.user_id)

    async def _admitted(self, exchange: Exchange) -> _Stream:
        """Who reads, from where. What is wrong with the request is said here, as problems."""
        edge = self._edge
        principal = await edge.authenticator.authenticate(exchange)
        ends_at = float("inf")
        if principal is None:
            message = self._bound(exchange)
            if message.ticket is not None and exchange.method != "HEAD":
                principal = exchange.principal = await self._holder(exchange, message.ticket)
                ends_at = anyio.current_time() + TICKET_SECONDS
        edge.rates.count(exchange, self.route.rate)
        authorise(self.route.message, self._requirement, self._context(exchange, principal))
        if principal is None:
            raise Unauthenticated
        _expect_active(principal)
        message = self._bound(exchange)
        first = await self._context(exchange, principal).ask(message)
        by_ticket = exchange.headers.get(b"authorization") is None

        async def again() -> Principal:
            known = None if by_ticket else await edge.authenticator.authenticate(exchange)
            if known is None:
                known = await self._following.again(principal)
            _expect_active(known)
            return known

        def ask(who: Principal, after: int) -> Awaitable[Followed]:
            asked = dataclasses.replace(message, last_event_id=str(after), ticket=None)
            return self._context(exchange, who).ask(asked)

        return _Stream(
            principal,
            first.position if message.last_event_id is None else int(message.last_event_id),
            ask=ask,
            again=again,
            draining=lambda: edge.system.draining,
            ends_at=ends_at,
        )

    def _bound(self, exchange: Exchange) -> FollowNotifications:
        """Raises `Malformed` for a header that no event of ours had as its id, `Invalid` for a bad parameter."""
        message = self.binder.bind({}, exchange.query, b"")
        if not isinstance(message, FollowNotifications):
            raise TypeError("this endpoint follows notifications")
        header = exchange.headers.get(b"last-event-id")
        if not header:
            return message
        if not _EVENT_ID.fullmatch(header):
            raise Malformed("Last-Event-ID is not the id of an event of this stream: leave it out to begin now")
        return dataclasses.replace(message, last_event_id=header.decode("ascii"))

    async def _holder(self, exchange: Exchange, ticket: str) -> Principal:
        rates = self._edge.rates
        rates.check(exchange, RateClass.SIGN_IN)
        context = self._edge.system.context(request_id=exchange.request_id, trace_id=exchange.trace_id, trusted=True)
        identity = await context.ask(RedeemStreamTicket(ticket=ticket))
        if identity is None:
            rates.refused(exchange, RateClass.SIGN_IN)
            raise BadTicket
        return Principal(identity.user_id, identity.uid, suspended=identity.suspended)

    def _context(self, exchange: Exchange, principal: Principal | None) -> Context:
        return self._edge.system.context(
            request_id=exchange.request_id, trace_id=exchange.trace_id, principal=principal
        )


def _expect_active(principal: Principal) -> None:
    """What is a suspended account's can be read, and is not told live. Raises `AccountSuspended`."""
    if principal.suspended:
        raise AccountSuspended


class _Stream:
    """One reader's, from `position` on."""

    __slots__ = ("_again", "_ask", "_draining", "_ends_at", "position", "principal")

    def __init__(
        self,
        principal: Principal,
        position: int,
        *,
        ask: Callable[[Principal, int], Awaitable[Followed]],
        again: Callable[[], Awaitable[Principal]],
        draining: Callable[[], bool],
        ends_at: float,
    ) -> None:
        self.principal = principal
        self.position = position
        self._ask = ask
        self._again = again
        self._draining = draining
        self._ends_at = ends_at

    async def run(self, out: _Out, bell: Bell, *, retry_milliseconds: int) -> None:
        try:
            await out.event("ready", b"{}", self.position, retry_milliseconds=retry_milliseconds)
            await self._follow(out, bell)
        except TooSlow as error:
            out.patience_seconds = AWAY_SECONDS  # in case it reads after all
            await out.end(error.code)
        except PromptForgeError as error:
            await out.end(error.code)

    async def _follow(self, out: _Out, bell: Bell) -> None:
        looked, rang = anyio.current_time(), False
        while True:
            now = anyio.current_time()
            if self._draining():
                raise Stopping
            if now >= self._ends_at:
                raise TicketExpired
            try:
                if rang or now - looked >= LOOK_SECONDS:
                    self.principal, looked = await self._again(), now
                followed = await self._ask(self.principal, self.position)
            except DATABASE_AWAY:
                await anyio.sleep(AWAY_SECONDS)
                continue
            for number, notification in followed.items:
                await out.event("notification", _data(notification), number)
                self.position = number
            self.position, rang = followed.position, False
            if not followed.more:
                rang = await self._rest(out, bell, until=min(looked + LOOK_SECONDS, self._ends_at))

    async def _rest(self, out: _Out, bell: Bell, *, until: float) -> bool:
        """Until the bell rings (true), or it is time to look at the reader's rights again."""
        while (left := until - anyio.current_time()) > 0:
            if await bell.wait(min(PING_SECONDS, left)):
                return True
            await out.comment()
        return False


class _Out:
    """Events as bytes, each taken in time or not at all."""

    __slots__ = ("_send", "patience_seconds")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.patience_seconds = SEND_SECONDS

    async def head(self, *, more: bool = True) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        if not more:
            await self._send({"type": "http.response.body", "body": b""})

    async def event(self, name: str, data: bytes, number: int, *, retry_milliseconds: int | None = None) -> None:
        """Raises `TooSlow`."""
        retry = b"" if retry_milliseconds is None else b"retry: %d\n" % retry_milliseconds
        await self._write(b"%sid: %d\nevent: %s\ndata: %s\n\n" % (retry, number, name.encode(), data))

    async def comment(self) -> None:
        await self._write(b": \n\n")

    async def end(self, code: str) -> None:
        """The last event, without an id: what to come back with stays as it was."""
        try:
            await self._write(b'event: end\ndata: {"code":"%s"}\n\n' % code.encode(), more=False)
        except TooSlow:
            return

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        with anyio.move_on_after(self.patience_seconds) as scope:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if scope.cancelled_caught:
            raise TooSlow


def _data(notification: NotificationView) -> bytes:
    """JSON in one line, as an event's data must be."""
    return encode(notification)
