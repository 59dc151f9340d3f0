"""`/metrics` for Prometheus: to operators, and to whoever has the scrape token."""

from __future__ import annotations

import hmac
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.types import Receive, Scope, Send

from promptforge.core.errors import Forbidden, ScopeMissing, Unauthenticated
from promptforge.core.principal import Role
from promptforge.http.auth import Authenticator, bearer_token
from promptforge.http.dispatch import refuse_method
from promptforge.http.exchange import exchange_of
from promptforge.http.rates import RateClass, Rates

PATH = "/metrics"
SCOPE = "operations:read"


class Scraped(Protocol):
    """What Prometheus is told; `refresh` is called before each scrape."""

    registry: CollectorRegistry

    async def refresh(self) -> None:
        """Bring up to date what has to be asked of the database."""
        ...


class Metrics:
    """ASGI endpoint. Who has the scrape token is not counted."""

    def __init__(self, authenticator: Authenticator, rates: Rates, scraped: Scraped, *, token: str | None) -> None:
        self._authenticator = authenticator
        self._rates = rates
        self._scraped = scraped
        self._token = token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        if exchange.method not in {"GET", "HEAD"}:
            self._rates.count(exchange, RateClass.DEFAULT)
            await refuse_method(exchange.method, ("GET", "HEAD", "OPTIONS"), send)
            return
        header = exchange.headers.get(b"authorization")
        if not self._is_scraper(header):
            principal = await self._authenticator.authenticate(exchange)
            self._rates.count(exchange, RateClass.DEFAULT)
            if principal is None:
                raise Unauthenticated("Metrics need an operator's token, or the METRICS_TOKEN")
            if not principal.has_role(Role.OPERATOR, Role.ADMIN):
                raise Forbidden("This needs the role operator")
            if principal.scopes is not None and SCOPE not in principal.scopes:
                raise ScopeMissing(f"This API key needs the scope {SCOPE}")
        await self._scraped.refresh()
        body = generate_latest(self._scraped.registry)
        headers = [(b"content-type", CONTENT_TYPE_LATEST.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _is_scraper(self, header: bytes | None) -> bool:
        if header is None or self._token is None:
            return False
        return hmac.compare_digest(bearer_token(header).encode(), self._token)  # of str it compares ASCII only
