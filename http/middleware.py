"""The edge: one layer of pure ASGI around everything that HTTP serves.

Each request gets an id and a trace, each response the headers that every response has, each error its problem document,
each exchange one line in the access log. Nothing that a person wrote and no token gets into a log: the path is logged,
the query string is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from time import perf_counter
from typing import Any

import anyio
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, reset_contextvars

from promptforge.core.errors import PromptForgeError
from promptforge.http.clients import client_address
from promptforge.http.cors import Cors
from promptforge.http.errors import BodyTooLarge, BodyTooSlow, ClientGone
from promptforge.http.exchange import SCOPE_KEY, Exchange
from promptforge.http.problems import Headers, render
from promptforge.http.request_ids import request_id_from, trace_id_from
from promptforge.http.security_headers import add_unless_set, always

log = structlog.get_logger(__name__)

Translate = Callable[[BaseException], PromptForgeError | None]

CLIENT_CLOSED_REQUEST = 499
LINGER_SECONDS = 1.0
MAX_LOGGED_PATH = 256


def translate_nothing(_: BaseException) -> PromptForgeError | None:
    """For processes without a driver whose errors need a translation."""
    return None


class EdgeMiddleware:
    """`translate` turns a driver's error that reached the edge into one of ours; None where it is a bug.

    `https_only` tells browsers to come by HTTPS only, for a year.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        cors: Cors,
        translate: Translate = translate_nothing,
        trusted_proxies: int = 0,
        https_only: bool = False,
    ) -> None:
        self._app = app
        self._always = always(https_only=https_only)
        self._cors = cors
        self._trusted_proxies = trusted_proxies
        self._translate = translate
        self._access_log = structlog.get_logger("promptforge.access").bind()  # bound once: logs are set up by now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        exchange = Exchange(
            scope,
            headers,
            request_id=request_id_from(headers.get(b"x-request-id")),
            trace_id=trace_id_from(headers.get(b"traceparent")),
            client=client_address(scope, self._trusted_proxies),
        )
        scope[SCOPE_KEY] = exchange
        tokens = bind_contextvars(request_id=exchange.request_id, trace_id=exchange.trace_id)
        try:
            own = (*self._always, *self._cors.headers(exchange))
            await self._serve(exchange, receive, _Responder(exchange, receive, send, own))
        finally:
            reset_contextvars(**tokens)
            self._access_log.info("http.request", **_access(exchange))

    async def _serve(self, exchange: Exchange, receive: Receive, respond: _Responder) -> None:
        try:
            exchange.join_repeated_headers()
            preflight = self._cors.preflight(exchange)
            if preflight is not None:
                await respond({"type": "http.response.start", "status": 204, "headers": preflight})
                await respond({"type": "http.response.body", "body": b""})
            else:
                await self._app(exchange.scope, receive, respond)
        except ClientGone:
            exchange.status = CLIENT_CLOSED_REQUEST
        except Exception as error:
            if exchange.status:  # half a response is out: closing the connection is all that can still be said
                log.exception("http.failed_while_answering", route=exchange.route)
                return
            await self._tell(error, exchange, respond)

    async def _tell(self, error: Exception, exchange: Exchange, respond: _Responder) -> None:
        known = error if isinstance(error, PromptForgeError) else self._translate(error)
        if known is None or known.status == 500:
            log.error("http.unexpected_error", route=exchange.route, method=exchange.method, exc_info=error)
        told = known or PromptForgeError()
        exchange.problem = told.code
        problem = render(told, exchange.request_id, exchange.trace_id)
        headers = problem.headers
        if isinstance(known, (BodyTooLarge, BodyTooSlow)) and exchange.scope.get("http_version", "1.1") < "2":
            headers = [*headers, (b"connection", b"close")]
        await respond({"type": "http.response.start", "status": problem.status, "headers": headers})
        await respond({"type": "http.response.body", "body": problem.body})


class _Responder:
    """The `send` of one exchange: adds the headers, leaves out the body for HEAD, counts, and lingers.

    Lingering: a client that still sends its body when the response is ready would, if the connection were closed on
    it, be reset and lose the response; and a body left unread blocks the server's queue for this connection. So the
    response goes out, the rest of the body is read away for a moment, and only then the response is declared over.
    """

    __slots__ = ("_exchange", "_own", "_receive", "_send")

    def __init__(self, exchange: Exchange, receive: Receive, send: Send, own: tuple[tuple[bytes, bytes], ...]) -> None:
        self._exchange = exchange
        self._receive = receive
        self._send = send
        self._own = own

    async def __call__(self, message: Message) -> None:
        exchange = self._exchange
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            message["headers"] = self._headers(list(message.get("headers", ())))
            await self._send(message)
            return
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            if exchange.method == "HEAD" and body:
                message["body"] = body = b""
            exchange.bytes_sent += len(body)
            if exchange.body_pending and not message.get("more_body", False):
                await self._send({**message, "more_body": True})
                await self._finish_lingering()
                return
        await self._send(message)

    def _headers(self, headers: Headers) -> Headers:
        add_unless_set(headers)
        headers.append((b"x-request-id", self._exchange.request_id.encode("ascii")))
        headers.extend(self._exchange.rate)
        headers.extend(self._own)
        return headers

    async def _finish_lingering(self) -> None:
        with anyio.move_on_after(LINGER_SECONDS):
            await self._read_away()
        end: MutableMapping[str, Any] = {"type": "http.response.body", "body": b"", "more_body": False}
        if not self._exchange.body_pending:
            await self._send(end)
            return
        reader = asyncio.create_task(self._read_away())  # else a full queue would keep the connection from closing
        try:
            await self._send(end)
        finally:
            reader.cancel()

    async def _read_away(self) -> None:
        while self._exchange.body_pending:
            message = await self._receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                self._exchange.body_pending = False


def _access(exchange: Exchange) -> dict[str, object]:
    route = exchange.route
    if route is None and (matched := exchange.scope.get("route")) is not None:
        route = matched.path
    principal = exchange.principal
    return {
        "method": exchange.method,
        "route": route,
        "path": exchange.path[:MAX_LOGGED_PATH],
        "status": exchange.status,
        "duration_ms": round((perf_counter() - exchange.started) * 1000, 3),
        "bytes": exchange.bytes_sent,
        "client": exchange.client,
        "user_id": principal.user_id if principal is not None else None,
        "key_id": principal.key_id if principal is not None else None,
        "problem": exchange.problem,
        "request_id": exchange.request_id,
        "trace_id": exchange.trace_id,
    }
