"""Cross-origin requests from the frontends named in ALLOWED_ORIGIN, exactly as named (Fetch standard, 3.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from promptforge.core.errors import ConfigurationError
from promptforge.http.exchange import Exchange
from promptforge.http.problems import Headers

PREFLIGHT_SECONDS = 7200
"""What Chromium caps it at."""

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Traceparent, Tracestate, "
    b"X-Request-ID"
)
_RESPONSE_HEADERS = (
    b"ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, "
    b"X-Request-ID"
)
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_VARY = (b"vary", b"Origin")


class Cors:
    """Raises `ConfigurationError` for what is no origin: `*` too, since credentials are allowed."""

    def __init__(self, allowed_origins: Iterable[str]) -> None:
        self._allowed: dict[bytes, Headers] = {}
        for origin in allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ConfigurationError(
                    f"ALLOWED_ORIGIN: {origin!r} is not an origin such as https://app.example.com (no path, no *)"
                )
            allow = [
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-allow-credentials", b"true"),
            ]
            self._allowed[origin.encode()] = allow

    def headers(self, exchange: Exchange) -> Headers:
        """What any response to this request carries."""
        if not self._allowed:
            return []
        allow = self._allowed.get(exchange.headers.get(b"origin", b""))
        if allow is None:
            return [_VARY]
        return [*allow, (b"access-control-expose-headers", _RESPONSE_HEADERS), _VARY]

    def preflight(self, exchange: Exchange) -> Headers | None:
        """The answer to a preflight from an allowed origin; None where this is something else."""
        if exchange.method != "OPTIONS" or b"access-control-request-method" not in exchange.headers:
            return None
        if exchange.headers.get(b"origin", b"") not in self._allowed:
            return None
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
        ]
