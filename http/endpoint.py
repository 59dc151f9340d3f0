"""What serves one route of a table: who asks, may they, with what, and the reply as JSON. Plain ASGI."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import Receive, Scope, Send

from promptforge.core.errors import ConfigurationError
from promptforge.core.messages import Access, Requirement, reply_type
from promptforge.core.pages import Page
from promptforge.core.runtime import System
from promptforge.core.runtime.permissions import authorise
from promptforge.http.auth import Authenticator
from promptforge.http.binding import Binder
from promptforge.http.body import BodyLimits, read_body, require_json
from promptforge.http.disconnects import Disconnects
from promptforge.http.encoding import encode
from promptforge.http.errors import ClientGone
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.rates import Rates
from promptforge.http.routing import API_PREFIX, Route

_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_JSON = (b"content-type", b"application/json")

Locate = Callable[[object, Mapping[str, str]], str | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Edge:
    """What all endpoints share."""

    system: System
    authenticator: Authenticator
    limits: BodyLimits
    disconnects: Disconnects
    rates: Rates


class Endpoint:
    """Made once per route. `served` are the shapes of all GET routes, which a Location may point to."""

    def __init__(self, route: Route, edge: Edge, served: frozenset[str]) -> None:
        self.route = route
        self.binder = Binder(route)
        self._edge = edge
        self._requirement = route.message.requirement or Requirement(Access.INTERNAL)
        self._status = route.status
        self._locate = _locator(route, served)
        self._paged = get_origin(reply_type(route.message)) is Page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        edge = self._edge
        principal = await edge.authenticator.authenticate(exchange, fresh=self._requirement.fresh)
        if edge.rates.shares(self.route.rate):
            await edge.rates.count_shared(exchange, self.route.rate)
        else:
            edge.rates.count(exchange, self.route.rate)
        context = edge.system.context(request_id=exchange.request_id, trace_id=exchange.trace_id, principal=principal)
        # The runtime authorises every message; here it spares the unauthorised the reading of a body, and us too.
        authorise(self.route.message, self._requirement, context)
        path: dict[str, str] = scope["path_params"]
        body = await self._read(exchange, receive) if self.binder.takes_body else b""
        message = self.binder.bind(path, exchange.query, body)
        watch = edge.disconnects.watch(exchange, receive)
        try:
            reply = await context.ask(message)
        except asyncio.CancelledError:
            if watch.gone and watch.task is not None:
                watch.task.uncancel()
                raise ClientGone from None
            raise
        finally:
            edge.disconnects.leave(watch)
        await self._answer(exchange, path, reply, send)

    async def _read(self, exchange: Exchange, receive: Receive) -> bytes:
        if exchange.body_pending:
            require_json(exchange.headers)
        return await read_body(exchange, receive, self._edge.limits)

    async def _answer(self, exchange: Exchange, path: Mapping[str, str], reply: object, send: Send) -> None:
        if reply is None:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        body = encode(reply)
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        if self._locate is not None and (location := self._locate(reply, path)) is not None:
            headers.append((b"location", location.encode("ascii")))
        if self._paged and isinstance(reply, Page) and reply.next is not None:
            headers.append((b"link", _next_link(exchange, reply.next)))
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _next_link(exchange: Exchange, cursor: str) -> bytes:
    """RFC 8288: the same list from `cursor` on."""
    given = parse_qsl(exchange.query.decode("ascii"), keep_blank_values=True)
    query = urlencode([*((name, value) for name, value in given if name != "cursor"), ("cursor", cursor)])
    path = quote(exchange.path, safe="/%")
    return f'<{path}?{query}>; rel="next"'.encode("ascii")


def _locator(route: Route, served: frozenset[str]) -> Locate | None:
    """How a reply tells where the new thing is. Raises `ConfigurationError` for a template that cannot be filled."""
    fields = _reply_fields(route)
    template = route.location
    if template is None:
        if route.status != 201:
            return None
        template = route.path + "/{id}"
        if "id" not in fields or _PARAMETER.sub("{}", template) not in served:
            return None
    if _PARAMETER.sub("{}", template) not in served:
        raise ConfigurationError(f"{route.method} {route.path}: nothing is served at its location {template}")
    for name in _PARAMETER.findall(template):
        if name not in fields and name not in route.parameters:
            raise ConfigurationError(f"{route.method} {route.path}: the reply has no {name!r} for its location")

    def locate(reply: object, path: Mapping[str, str]) -> str | None:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            return quote(str(path[name] if name in path else getattr(reply, name)), safe="")

        return API_PREFIX + _PARAMETER.sub(value, template)

    return locate


def _reply_fields(route: Route) -> frozenset[str]:
    reply: Any = reply_type(route.message)  # Any: the reply's type as declared
    candidates = [reply, *get_args(reply)]
    return frozenset(
        field.name for cls in candidates if dataclasses.is_dataclass(cls) for field in dataclasses.fields(cls)
    )
