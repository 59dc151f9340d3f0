"""Commands whose reply comes piece by piece: as server-sent events to who accepts those, whole to everyone else.

Events: `delta` with the next piece (`{"text": …}`), in order; then `done` with the whole reply, or `error` with a
problem document. What goes wrong before the first piece is answered as any other request's error. A client that goes
away stops the work at once; while the process drains, a stream goes on for a few seconds and then ends with an error
that says so. With an Idempotency-Key the reply is kept once it is complete, and a replay sends it as the one event that
there is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
import orjson
import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette_compress import CompressMiddleware

from promptforge.core.context import Context
from promptforge.core.errors import DATABASE_AWAY, PromptForgeError, Stopping
from promptforge.core.messages import Message
from promptforge.core.streams import Delta, ReplyStream
from promptforge.http.encoding import encode
from promptforge.http.endpoint import Edge, Endpoint, give_up
from promptforge.http.exchange import Exchange
from promptforge.http.idempotency import REPLAYED, Asked, ClaimTaken
from promptforge.http.live import PING_SECONDS, SEND_SECONDS, OpenStreams
from promptforge.http.middleware import Translate
from promptforge.http.problems import render
from promptforge.http.replies import Readable, Rendered
from promptforge.http.routing import Route

LAST_SECONDS = 5.0
"""How long a stream goes on while the process drains."""
log = structlog.get_logger(__name__)

Events = AsyncIterator[ServerSentEvent]
Items = AsyncIterator[Delta | object]


@dataclass(frozen=True, slots=True)
class Wire:
    """One exchange and its connection."""

    exchange: Exchange
    path: dict[str, str]
    scope: Scope
    receive: Receive
    send: Send


class StreamEndpoint(Endpoint):
    """Made once per streamed route. `translate` is the edge's: for errors of the database's driver."""

    claim_lasts = timedelta(minutes=5)
    """Longer than a stream may take; only a process that died leaves a claim behind."""

    def __init__(
        self, route: Route, edge: Edge, readable: Readable, *, streams: OpenStreams, translate: Translate
    ) -> None:
        super().__init__(route, edge, readable)
        self._streams = streams
        self._translate = translate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, path, context, message, asked = await self._admit(scope, receive)
        if isinstance(asked, Rendered):
            response = _responding(_replayed(asked), REPLAYED) if accepts_events(exchange) else asked
            await response(scope, receive, send)
            return
        user = context.principal.user_id if context.principal else exchange.client or ""
        try:
            self._streams.enter(user)
            try:
                await self._answer(message, context, asked, Wire(exchange, path, scope, receive, send))
            finally:
                self._streams.leave(user)
        except Exception:
            await give_up(asked)  # of what was kept already, nothing is given up
            raise

    async def _answer(self, message: Message[Any], context: Context, asked: Asked | None, wire: Wire) -> None:
        # The handler only says what is to be done, so keeping the reply is our business and not the runtime's.
        exchange, watch = wire.exchange, self._edge.disconnects.watch
        stream: ReplyStream[object] = await self._wait(context.ask(message), asked, watch(exchange, wire.receive))
        async with stream:
            if accepts_events(exchange):
                items = aiter(stream)
                first = await self._wait(anext(items), asked, watch(exchange, wire.receive))
                response: ASGIApp = _responding(self._events(exchange, first, items, asked))
            else:
                reply = await self._wait(stream.whole(), asked, watch(exchange, wire.receive))
                await _keep(asked, reply)
                response = self._renderer.render(exchange, wire.path, reply)
            await response(wire.scope, wire.receive, wire.send)

    async def _events(self, exchange: Exchange, first: object, items: Items, asked: Asked | None) -> Events:
        """What goes wrong here cannot change the status any more: it is told in the last event."""
        complete = False
        try:
            async with aclosing(self._until_drained(first, items)) as whole:
                async for item in whole:
                    if isinstance(item, Delta):
                        yield _event("delta", orjson.dumps({"text": item.text}))
                    else:
                        complete = True
                        await _keep(asked, item)
                        yield _event("done", encode(item))
        except Exception as error:  # noqa: BLE001  # this is the edge: half a response is out, and the rest is this
            yield _event("error", self._problem(error, exchange))
        finally:
            if asked is not None and not complete:
                with anyio.CancelScope(shield=True):
                    await asked.abandon()

    async def _until_drained(self, first: object, items: Items) -> AsyncGenerator[object, None]:
        ends: float | None = None
        yield first
        async for item in items:
            yield item
            if self._edge.system.draining:
                ends = ends or anyio.current_time() + LAST_SECONDS
                if anyio.current_time() > ends and isinstance(item, Delta):
                    raise Stopping

    def _problem(self, error: Exception, exchange: Exchange) -> bytes:
        known = error if isinstance(error, PromptForgeError) else self._translate(error)
        if known is None or known.status == 500:
            log.error("http.stream_failed", route=exchange.route, exc_info=error)
        return render(known or PromptForgeError(), exchange.request_id, exchange.trace_id).body


def accepts_events(exchange: Exchange) -> bool:
    """Whether the client names server-sent events, and wants them no less than JSON (RFC 9110, 12.5.1)."""
    wanted: dict[str, float] = {}
    for part in exchange.headers.get(b"accept", b"").decode("latin-1").lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        wanted[kind] = float(quality) if quality.replace(".", "", 1).isdecimal() else 0.0
    events = wanted.get("text/event-stream", 0.0)
    return events > 0 and events >= wanted.get("application/json", 0.0)


async def _keep(asked: Asked | None, reply: object) -> None:
    """The work is done and paid for: that its reply could not be kept is no reason to withhold it."""
    if asked is None:
        return
    try:
        await asked.complete(None, reply)
    except (*DATABASE_AWAY, ClaimTaken) as error:
        log.warning("http.reply_not_kept", error=error.code)


def _responding(events: Events, *headers: tuple[bytes, bytes]) -> CompressMiddleware:
    more = {name.decode(): value.decode() for name, value in headers}
    return CompressMiddleware(EventSourceResponse(events, headers=more, ping=PING_SECONDS, send_timeout=SEND_SECONDS))


async def _replayed(reply: Rendered) -> Events:
    yield _event("done", reply.body)


def _event(name: str, data: bytes) -> ServerSentEvent:
    return ServerSentEvent(data.decode(), event=name)
