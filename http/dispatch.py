"""From a path to the endpoint that serves it: one look-up per segment, however many routes there are.

Fixed segments win over parameters, so `/users/me` is never a handle. Paths are split before they are decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge.core.errors import Malformed, PromptForgeError
from promptforge.core.messages import Query
from promptforge.http.errors import MethodNotAllowed, NoSuchPath
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.rates import RateClass, Rates
from promptforge.http.routing import API_PREFIX, Route

MAX_PARAMETER_CHARACTERS = 255
_EVERYWHERE = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT", "OPTIONS")
_PREFIX = API_PREFIX + "/"
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")


class Leaf:
    """A path template and what serves its methods."""

    __slots__ = ("allowed", "endpoints", "names", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self.endpoints: dict[str, tuple[ASGIApp, tuple[str, ...]]] = {}
        self.allowed: tuple[str, ...] = ()

    def add(self, route: Route, endpoint: ASGIApp) -> None:
        self.endpoints[route.method] = (endpoint, route.parameters)
        if route.method == "GET" and issubclass(route.message, Query):  # else HEAD would have the effect unseen
            self.endpoints["HEAD"] = self.endpoints["GET"]
        self.allowed = (*sorted(self.endpoints), "OPTIONS")


class _Node:
    __slots__ = ("fixed", "leaf", "parameter")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.leaf: Leaf | None = None


class Dispatcher:
    """ASGI middleware: serves the tables' paths below `/api/v1` and hands everything else to `app`.

    Endpoints count their requests. All others are counted here, by address, but for those to `uncounted` paths.
    `direct` are paths with an endpoint of their own, which judges methods and counts by itself; one that ends with a
    slash stands for all that is below it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        endpoints: Iterable[tuple[Route, ASGIApp]],
        rates: Rates,
        uncounted: frozenset[str],
        direct: Mapping[str, ASGIApp] | None = None,
    ) -> None:
        self._app = app
        self._direct = direct or {}
        self._rates = rates
        self._uncounted = uncounted
        self._root = _Node()
        for route, endpoint in endpoints:
            self._leaf(route).add(route, endpoint)

    def _leaf(self, route: Route) -> Leaf:
        node = self._root
        for segment in route.path[1:].split("/"):
            if segment.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.fixed.setdefault(segment, _Node())
        if node.leaf is None:
            node.leaf = Leaf(API_PREFIX + route.path)
        return node.leaf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        if (endpoint := self._direct.get(exchange.path)) is not None:
            exchange.route = exchange.path
            await endpoint(scope, receive, send)
            return
        try:
            found = self.find(exchange.path)
        except PromptForgeError:
            self._rates.count(exchange, RateClass.DEFAULT)
            raise
        if found is None:
            await self._serve_other(exchange, receive, send)
            return
        leaf, values = found
        exchange.route = leaf.template
        served = leaf.endpoints.get(exchange.method)
        if served is None:
            self._rates.count(exchange, RateClass.DEFAULT)
            await refuse_method(exchange.method, leaf.allowed, send)
            return
        endpoint, names = served
        scope["path_params"] = dict(zip(names, values, strict=True))
        await endpoint(scope, receive, send)

    async def _serve_other(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        first = exchange.path[: exchange.path.find("/", 1) + 1]
        if (endpoint := self._direct.get(first)) is not None:
            await endpoint(exchange.scope, receive, send)
            return
        if exchange.path not in self._uncounted:
            self._rates.count(exchange, RateClass.DEFAULT)
        if exchange.path == "*" and exchange.method == "OPTIONS":  # the whole service is asked (RFC 9110, 9.3.7)
            await refuse_method(exchange.method, _EVERYWHERE, send)
        else:
            await self._app(exchange.scope, receive, send)

    def find(self, path: str) -> tuple[Leaf, list[str]] | None:
        """The leaf for a path as it was sent, and the decoded parameters. Raises `Malformed` or `NoSuchPath`."""
        if not path.startswith(_PREFIX):
            return None
        segments = path[len(_PREFIX) :].split("/")
        if "%" in path or not path.isascii():
            segments = [_decode(segment) for segment in segments]
        values: list[str] = []
        leaf = _walk(self._root, segments, 0, values)
        if leaf is None:
            return None
        for value in values:
            if len(value) > MAX_PARAMETER_CHARACTERS:
                raise NoSuchPath
        values.reverse()
        return leaf, values


def _walk(node: _Node, segments: list[str], depth: int, values: list[str]) -> Leaf | None:
    """Depth first, fixed segments before parameters; `values` is filled backwards on the way out."""
    if depth == len(segments):
        return node.leaf
    segment = segments[depth]
    child = node.fixed.get(segment)
    if child is not None:
        leaf = _walk(child, segments, depth + 1, values)
        if leaf is not None:
            return leaf
    if node.parameter is None or not segment:
        return None
    leaf = _walk(node.parameter, segments, depth + 1, values)
    if leaf is not None:
        values.append(segment)
    return leaf


def _decode(segment: str) -> str:
    if _BAD_ESCAPE.search(segment) or not segment.isascii():
        raise Malformed("The path is not percent-encoded as RFC 3986 says")
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("The path is not UTF-8") from None
    if "\0" in text:
        raise Malformed("The path holds a NUL character")
    return text


async def refuse_method(method: str, allowed: tuple[str, ...], send: Send) -> None:
    """Answer OPTIONS with what is allowed. Raises `MethodNotAllowed` for any other method."""
    if method != "OPTIONS":
        raise MethodNotAllowed(allowed)
    headers = [(b"allow", ", ".join(allowed).encode())]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
