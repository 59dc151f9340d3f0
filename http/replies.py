"""Replies as HTTP says them: a status, the headers that follow from the reply and its route, and JSON."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args
from urllib.parse import parse_qsl, quote, urlencode

from cachetools import LRUCache
from starlette.types import Receive, Scope, Send
from starlette_compress import CompressMiddleware

from promptforge.core.errors import ConfigurationError
from promptforge.core.made import Made
from promptforge.core.pages import Page
from promptforge.http.conditions import COMPRESSED_FROM, VARY, etag, known_already, validator
from promptforge.http.encoding import encode
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.problems import Headers
from promptforge.http.routing import API_PREFIX, Route

_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_JSON = (b"content-type", b"application/json")
_REPLY = "promptforge.reply"

KEPT_BYTES = 16 * 1024 * 1024
"""Of the JSON of replies that are answered again and again, for each route that does so."""

Path = Mapping[str, str]
Locate = Callable[[object, Path], str | None]
Readable = Mapping[str, Route]
"""The GET routes, by shape."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rendered:
    """A response, but for the headers that every response has."""

    status: int
    headers: Headers
    body: bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, compressed where that is worth a layer."""
        if len(self.body) < COMPRESSED_FROM:
            await self.send(send)
        elif exchange_of(scope).headers.get(b"accept-encoding", b"identity") == b"identity":
            self.headers.append(VARY)
            await self.send(send)
        else:
            scope[_REPLY] = self
            await _compressing(scope, receive, send)

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body})


async def _send_reply(scope: Scope, _: Receive, send: Send) -> None:
    reply: Rendered = scope[_REPLY]
    await reply.send(send)


_compressing = CompressMiddleware(_send_reply, minimum_size=COMPRESSED_FROM)


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    """What a reply is as JSON. It holds the reply, so that no other object gets its id meanwhile.

    `told` is the reply as clients get it: a page has its cursor sealed.
    """

    reply: object
    told: object
    body: bytes
    tag: bytes


class Renderer:
    """Made once per route; `tagged` replies get an ETag."""

    def __init__(self, route: Route, readable: Readable, *, tagged: bool) -> None:
        self._status = route.status
        self._kept: LRUCache[int, _Kept] | None = None
        if route.repeats:
            self._kept = LRUCache(KEPT_BYTES, getsizeof=lambda kept: len(kept.body))
        self._headers: Headers = [_JSON]
        if route.cache_control is not None:
            self._headers.append((b"cache-control", route.cache_control.encode("ascii")))
        self._locate = _locator(route, readable)
        self._tagged = tagged

    def render(self, exchange: Exchange, path: Path, reply: object) -> Rendered:
        """A page has its cursor sealed by now. 304 where the client knows the content already."""
        if reply is None:
            return Rendered(204, [], b"")
        status = self._status
        if type(reply) is Made:
            status = status if reply.new else 200
            reply = reply.value
        return self._rendered(exchange, path, status, _Kept(reply, reply, *self._encode(reply)))

    def render_again(self, exchange: Exchange, path: Path, reply: object, seal: Callable[[object], object]) -> Rendered:
        """Of an object that is answered again: what it is as JSON is known. `seal` seals the cursor of a page."""
        if self._kept is None:
            raise AssertionError("only routes that repeat keep what they send")
        known = self._kept.get(id(reply))
        if known is None:
            told = seal(reply)
            known = _Kept(reply, told, *self._encode(told))
            if len(known.body) <= self._kept.maxsize:
                self._kept[id(reply)] = known
        return self._rendered(exchange, path, self._status, known)

    def _rendered(self, exchange: Exchange, path: Path, status: int, kept: _Kept) -> Rendered:
        reply, body, tag = kept.told, kept.body, kept.tag
        headers: Headers = [*self._headers]
        if isinstance(reply, Page) and reply.next is not None:
            headers.append((b"link", _next_link(exchange, reply.next)))
        headers.append((b"content-length", b"%d" % len(body)))
        if tag:
            told = (b"etag", validator(body, tag))
            if known_already(exchange.headers, tag) and exchange.method in {"GET", "HEAD"}:
                vary = [VARY] if len(body) >= COMPRESSED_FROM else []
                return Rendered(304, [told, *vary, *self._headers[1:]], b"")
            headers.append(told)
        if self._locate is not None and (location := self._locate(reply, path)) is not None:
            headers.append((b"location", location.encode("ascii")))
        return Rendered(status, headers, body)

    def _encode(self, reply: object) -> tuple[bytes, bytes]:
        """JSON, and the ETag; empty where the route has none."""
        body = encode(reply)
        return body, etag(body) if self._tagged else b""


def _next_link(exchange: Exchange, cursor: str) -> bytes:
    """RFC 8288: the same list from `cursor` on."""
    given = parse_qsl(exchange.query.decode("ascii"), keep_blank_values=True)
    query = urlencode([*((name, value) for name, value in given if name != "cursor"), ("cursor", cursor)])
    path = quote(exchange.path, safe="/%")
    return f'<{path}?{query}>; rel="next"'.encode("ascii")


def _locator(route: Route, readable: Readable) -> Locate | None:
    """How a reply tells where the new thing is. Raises `ConfigurationError` for a template that cannot be filled."""
    fields = _reply_fields(route)
    template = route.location
    if template is None:
        if route.status != 201:
            return None
        template = route.path + "/{id}"
        if "id" not in fields or _PARAMETER.sub("{}", template) not in readable:
            return None
    if _PARAMETER.sub("{}", template) not in readable:
        raise ConfigurationError(f"{route.method} {route.path}: nothing is served at its location {template}")
    for name in _PARAMETER.findall(template):
        if name not in fields and name not in route.parameters:
            raise ConfigurationError(f"{route.method} {route.path}: the reply has no {name!r} for its location")

    def locate(reply: object, path: Path) -> str | None:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            return quote(str(path[name] if name in path else getattr(reply, name)), safe="")

        return API_PREFIX + _PARAMETER.sub(value, template)

    return locate


def _reply_fields(route: Route) -> frozenset[str]:
    reply: Any = route.reply  # Any: the reply's type as declared
    candidates = [reply, *get_args(reply)]
    return frozenset(
        field.name for cls in candidates if dataclasses.is_dataclass(cls) for field in dataclasses.fields(cls)
    )
