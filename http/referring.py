"""Referral links, as people follow them: `/r/{code}` leads to the front page, or to the path that `to` names.

What the visitor gets on the way (`referral=…` in the address) is what the frontend keeps; no cookie is set, and nothing
is kept of who it was. A link that brings nobody any more leads there all the same, without it: a visitor is not told of
a partner's troubles, nor of ours, and so it is where an address has followed too many of them, or the database does not
answer soon. It leads to no other site, whatever `to` says.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

from starlette.types import Receive, Scope, Send

from promptforge.actors.partnerships.referrals.messages import FollowReferralLink
from promptforge.core.errors import NotFound, PromptForgeError
from promptforge.core.runtime import System
from promptforge.http.dispatch import refuse_method
from promptforge.http.errors import NoSuchPath
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.rates import RateClass, Rates

BELOW = "/r/"
PATH = "/r/{code}"
PARAMETER = "referral"
LONGEST = 500
LONGEST_CODE = 64
PATIENCE_SECONDS = 3.0
"""Until a visitor goes on without a token."""
_METHODS = ("GET", "HEAD", "OPTIONS")
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
"""A path of this site: browsers take two slashes, or a backslash, for the beginning of another one."""


class ReferralLinks:
    """ASGI endpoint of all that is below `/r/`."""

    def __init__(self, system: System, rates: Rates) -> None:
        self._system = system
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.route = PATH
        code = exchange.path[len(BELOW) :]
        if not code or "/" in code or exchange.method not in {"GET", "HEAD"}:
            self._rates.count(exchange, RateClass.DEFAULT)
            if not code or "/" in code:
                raise NoSuchPath
            await refuse_method(exchange.method, _METHODS, send)
            return
        to = _own_path(parse_qs(exchange.query.decode("latin-1")).get("to", ["/"])[-1])
        token = await self._token(unquote(code), exchange)
        headers = [
            (b"location", (to if token is None else _with_token(to, token)).encode("ascii")),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _token(self, code: str, exchange: Exchange) -> str | None:
        """None where the link brings nobody, or whom it brings cannot be said now: that is no click either."""
        try:
            self._rates.count(exchange, RateClass.DEFAULT)
            if exchange.method == "HEAD" or len(code) > LONGEST_CODE:  # a program that looks is nobody's visit
                return None
            context = self._system.context(
                request_id=exchange.request_id,
                trace_id=exchange.trace_id,
                timeout_seconds=PATIENCE_SECONDS,
                trusted=True,
            )
            return (await context.ask(FollowReferralLink(code=code))).token
        except PromptForgeError as error:
            if not error.retryable and not isinstance(error, NotFound):
                raise
            return None


def _own_path(to: str) -> str:
    """The front page for anything else."""
    return to if len(to) <= LONGEST and _OWN_PATH.fullmatch(to) else "/"


def _with_token(to: str, token: str) -> str:
    parts = urlsplit(to)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}{PARAMETER}={quote(token)}"))
