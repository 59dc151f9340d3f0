"""One request and its response, as the layers of the edge see it: made by the edge, found in the ASGI scope."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import unquote

from promptforge.core.errors import Malformed
from promptforge.core.principal import Principal

SCOPE_KEY = "promptforge.exchange"

_SINGLE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"idempotency-key",
        b"origin",
        b"stripe-signature",
        b"traceparent",
    }
)
"""Headers that must not come twice: two readers of the request could choose differently."""


class Exchange:
    """`headers` holds one value for each header, once they are joined. `route` is the path template, once one matched.

    `body_pending` is true while the client may still be sending body bytes that nobody has read. `client` is the
    sender's address. `problem` is the code of what was refused or failed. `rate` are the fields that tell what is left
    of a budget.
    """

    __slots__ = (
        "body_pending",
        "bytes_sent",
        "client",
        "headers",
        "method",
        "path",
        "principal",
        "problem",
        "query",
        "rate",
        "request_id",
        "route",
        "scope",
        "started",
        "status",
        "trace_id",
    )

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        headers: dict[bytes, bytes],
        *,
        request_id: str,
        trace_id: str,
        client: str | None,
    ) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path = path_of(scope)
        if scope["path"][:1] != "/" and self.path[:1] == "/":  # the routes of others see no absolute form
            scope["path"] = unquote(self.path)
            scope["raw_path"] = self.path.encode("latin-1")
        self.query: bytes = scope["query_string"]
        self.headers = headers
        self.request_id = request_id
        self.trace_id = trace_id
        self.client = client
        self.route: str | None = None
        self.problem: str | None = None
        self.rate: tuple[tuple[bytes, bytes], ...] = ()
        self.principal: Principal | None = None
        self.status = 0
        self.bytes_sent = 0
        self.started = perf_counter()
        self.body_pending = announces_body(headers)

    def join_repeated_headers(self) -> None:
        """Join a list that came in several lines (RFC 9110, 5.3). Raise `Malformed` for what has one value only."""
        raw_headers = self.scope["headers"]
        if len(raw_headers) == len(self.headers):
            return
        joined: dict[bytes, bytes] = {}
        for name, value in raw_headers:
            if name not in joined:
                joined[name] = value
            elif name in _SINGLE:
                raise Malformed(f"The header {name.decode()} was sent more than once")
            else:
                joined[name] += b", " + value
        self.headers.update(joined)
        self.scope["headers"] = list(joined.items())


def exchange_of(scope: Mapping[str, Any]) -> Exchange:
    """The exchange of this request; only inside the edge's middleware."""
    exchange: Exchange = scope[SCOPE_KEY]
    return exchange


def path_of(scope: Mapping[str, Any]) -> str:
    """The path as it was sent, still percent-encoded: decoding comes after splitting, or `%2F` would split segments."""
    raw: bytes | None = scope.get("raw_path")
    path = str(scope["path"]) if raw is None else raw.decode("latin-1")
    if path[:1] != "/" and "://" in path:  # the absolute form, which servers must understand (RFC 9112, 3.2.2)
        _, _, path = path.partition("://")
        _, slash, rest = path.partition("/")
        return slash + rest or "/"
    return path


def announces_body(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the request says that it has a body (RFC 9112, 6.3)."""
    length = headers.get(b"content-length")
    return b"transfer-encoding" in headers or (length is not None and length != b"0")
