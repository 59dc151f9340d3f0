"""Live queries: a query's reply as server-sent events, again each time it is another one.

Each event `reply` carries the whole reply as JSON, and its id names that content: who comes back with `Last-Event-ID`
hears nothing until something is new. The query is asked again every second, with the rights that its asker then has; so
what is shown comes from every process, and a stream ends when its token or its session does.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send
from starlette_compress import CompressMiddleware

from promptforge.core.context import Context
from promptforge.core.errors import AccountSuspended, MailboxFull, PromptForgeError, Unavailable
from promptforge.core.messages import Access, Message, Requirement
from promptforge.core.runtime.permissions import authorise
from promptforge.http.binding import binder_of
from promptforge.http.cursors import Cursors
from promptforge.http.encoding import encode
from promptforge.http.endpoint import Edge
from promptforge.http.errors import TooManyRequests
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.routing import Route

POLL_SECONDS = 1.0
PING_SECONDS = 15
SEND_SECONDS = 10.0
"""A client that takes nothing for so long is let go."""
MOST_STREAMS = 500
MOST_OF_ONE_USER = 10
RETRY_MILLISECONDS = 2000
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


class OpenStreams:
    """How many there are, in this process and of each user."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most = most
        self._of: Counter[str] = Counter()
        self._total = 0

    def enter(self, user: str) -> None:
        """Raises `TooManyRequests` for what is the user's own doing, `MailboxFull` for what is everybody's."""
        if self._of[user] >= MOST_OF_ONE_USER:
            raise TooManyRequests(f"One user may have {MOST_OF_ONE_USER} event streams open", retry_after_seconds=1)
        if self._total >= self._most:
            raise MailboxFull("Too many event streams are open")
        self._of[user] += 1
        self._total += 1

    def leave(self, user: str) -> None:
        self._of[user] -= 1
        self._total -= 1
        if not self._of[user]:
            del self._of[user]


class LiveEndpoint:
    """Made once per live route."""

    def __init__(self, route: Route, edge: Edge, streams: OpenStreams) -> None:
        self.route = route
        self.binder = binder_of(route)
        self._edge = edge
        self._streams = streams
        self._cursors = Cursors(edge.cursors, route.shape, route.message)
        self._requirement = route.message.requirement or Requirement(Access.INTERNAL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        context = await self._context(exchange)
        self._edge.rates.count(exchange, self.route.rate)
        message = self._cursors.opened(self.binder.bind(scope["path_params"], exchange.query, b""))
        first = self._encode(
            message, await context.ask(message)
        )  # what is wrong with the request is said before the stream
        if exchange.method == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": [_EVENTS]})
            await send({"type": "http.response.body", "body": b""})
            return
        user = context.principal.user_id if context.principal else exchange.client or ""
        self._streams.enter(user)
        try:
            response = EventSourceResponse(
                self._events(exchange, message, first), ping=PING_SECONDS, send_timeout=SEND_SECONDS
            )
            await CompressMiddleware(response)(scope, receive, send)
        finally:
            self._streams.leave(user)

    async def _context(self, exchange: Exchange) -> Context:
        edge = self._edge
        principal = await edge.authenticator.authenticate(exchange, fresh=self._requirement.fresh)
        context = edge.system.context(request_id=exchange.request_id, trace_id=exchange.trace_id, principal=principal)
        authorise(self.route.message, self._requirement, context)
        if principal is not None and principal.suspended:
            raise AccountSuspended("Nothing is told live to a suspended account: ask for the reply itself")
        return context

    async def _events(self, exchange: Exchange, message: Message[Any], first: bytes) -> AsyncIterator[ServerSentEvent]:
        known = exchange.headers.get(b"last-event-id", b"").decode("latin-1")
        body = first
        while not self._edge.system.draining:
            name = hashlib.sha256(body).hexdigest()[:32]
            if name != known:
                known = name
                yield ServerSentEvent(body.decode(), event="reply", id=name, retry=RETRY_MILLISECONDS)
            await anyio.sleep(POLL_SECONDS)
            try:
                context = await self._context(exchange)
                body = self._encode(message, await context.ask(message))
            except Unavailable:
                continue  # the database is away for a moment; the next second may be better
            except PromptForgeError as error:
                yield ServerSentEvent(f'{{"code":"{error.code}"}}', event="end", id="")
                return

    def _encode(self, message: Message[Any], reply: object) -> bytes:
        return encode(self._cursors.sealed(message, reply))
