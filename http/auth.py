"""From the Authorization header to a principal. A token that is sent is always judged, public path or not."""

from __future__ import annotations

import re
from typing import Protocol

from promptforge.core.errors import Unauthenticated
from promptforge.core.identity import NOBODY, Asker
from promptforge.core.principal import Principal
from promptforge.http.exchange import Exchange
from promptforge.http.rates import RateClass, Rates

MAX_TOKEN_CHARACTERS = 8192
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*) *")


class MalformedAuthorization(Unauthenticated):
    code = "malformed_authorization"
    title = "The Authorization header must be `Bearer` and one token"


class Principals(Protocol):
    """What knows tokens: verification and its cache."""

    def cached(self, token: str) -> Principal | None:
        """The principal, if it is known already and may still be used."""
        ...

    def knows(self, token: str) -> bool:
        """Whether the token was good before."""
        ...

    async def resolve(self, token: str, *, fresh: bool = False, asker: Asker = NOBODY) -> Principal:
        """Verify the token; `fresh` asks about revocation at once. Raises `Unauthenticated` or `Unavailable`."""
        ...


class Authenticator:
    """Answers who sends a request; the usual case, a token seen in the last minute, awaits nothing."""

    def __init__(self, principals: Principals, rates: Rates) -> None:
        self._principals = principals
        self._rates = rates

    async def authenticate(self, exchange: Exchange, *, fresh: bool = False) -> Principal | None:
        """The principal, also kept in the exchange for the access log; None where no Authorization header was sent.

        Raises `Unauthenticated` for a header or a token that is no good, `TooManyRequests` for an address that has sent
        too many of those, `Unavailable` where it cannot be told.
        """
        header = exchange.headers.get(b"authorization")
        if header is None:
            return None
        try:
            token = bearer_token(header)
            principal = None if fresh else self._principals.cached(token)
            if principal is None:
                if not self._principals.knows(token):  # bad tokens must not keep those out who are in already
                    self._rates.check(exchange, RateClass.SIGN_IN)
                asker = Asker(exchange.request_id, exchange.trace_id)
                principal = await self._principals.resolve(token, fresh=fresh, asker=asker)
        except Unauthenticated:
            self._rates.refused(exchange, RateClass.SIGN_IN)
            raise
        exchange.principal = principal
        return principal


def bearer_token(header: bytes) -> str:
    """The token of `Bearer <token>` (RFC 6750, 2.1). Raises `MalformedAuthorization`."""
    match = _BEARER.fullmatch(header)
    if match is None or len(match[1]) > MAX_TOKEN_CHARACTERS:
        raise MalformedAuthorization
    return match[1].decode("ascii")
