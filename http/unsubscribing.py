"""Unsubscribe links of mails, without a sign-in: a page with one button, and the button.

Looking changes nothing, because programs that check mails open their links. The POST is what mail providers send when
somebody unsubscribes there (RFC 8058, one-click), and what the button sends; its body is read and not looked at. The
token is in the query, which is in no log.

Providers send the clicks of millions from a few addresses. So a good link has a budget of its own, whoever uses it, and
an address is only counted what had to be refused: a link is signed, as the events of a webhook are.
"""

from __future__ import annotations

from hashlib import sha256
from html import escape
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from promptforge.actors.notifications.mail.messages import (
    ExpectMailLink,
    GetMailSubscription,
    SubscriptionKindView,
    Unsubscribe,
)
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.runtime import System
from promptforge.http.body import BodyLimits, read_body
from promptforge.http.dispatch import refuse_method
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.rates import RateClass, Rates

PATH = "/unsubscribe"
LIMITS = BodyLimits(max_bytes=4096, timeout_seconds=10.0)
LONGEST_TOKEN = 400
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_POLICY = b"default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>PromptForge</title></head>
<body><h1>{heading}</h1><p>{words}</p>{button}</body>
</html>
"""
_BUTTON = '<form method="post"><button type="submit">No more mails of this kind</button></form>'
_SETTINGS = "In your settings you can choose for each kind of notification how it reaches you."


class UnsubscribeEndpoint:
    """ASGI endpoint."""

    def __init__(self, system: System, rates: Rates) -> None:
        self._system = system
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        if exchange.method not in {"GET", "HEAD", "POST"}:
            self._rates.count(exchange, RateClass.DEFAULT)
            await refuse_method(exchange.method, _METHODS, send)
            return
        context = self._context(exchange)
        token = await self._genuine(exchange, context)
        if exchange.method == "POST":
            await read_body(exchange, receive, LIMITS)
            page = _done(await context.ask(Unsubscribe(token=token)))
        else:
            page = _question(await context.ask(GetMailSubscription(token=token)))
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", b"%d" % len(page)),
            (b"content-security-policy", _POLICY),
            (b"referrer-policy", b"no-referrer"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    async def _genuine(self, exchange: Exchange, context: Context) -> str:
        """A link of ours, counted before anything is read for it. Raises `NotFound` or `TooManyRequests`."""
        try:
            token = _token_of(exchange)
            await context.ask(ExpectMailLink(token=token))
        except NotFound:
            self._rates.check(exchange, RateClass.WEBHOOK)
            self._rates.refused(exchange, RateClass.WEBHOOK)
            raise
        self._rates.count(exchange, RateClass.DEFAULT, asker=f"link:{sha256(token.encode()).hexdigest()}")
        return token

    def _context(self, exchange: Exchange) -> Context:
        return self._system.context(request_id=exchange.request_id, trace_id=exchange.trace_id, trusted=True)


def _token_of(exchange: Exchange) -> str:
    """Raises `NotFound`: a link that was cut short is none."""
    tokens = parse_qs(exchange.query.decode("latin-1")).get("token", [])
    if len(tokens) != 1 or len(tokens[0]) > LONGEST_TOKEN:
        raise NotFound("This is no unsubscribe link of ours, or it was cut short")
    return tokens[0]


def _question(about: SubscriptionKindView) -> bytes:
    if not about.subscribed:
        return _done(about)
    words = f"You get mails of this kind: {escape(about.title)}."
    return _PAGE.format(heading="Unsubscribe?", words=words, button=_BUTTON).encode()


def _done(about: SubscriptionKindView) -> bytes:
    words = f"You get no mails of this kind: {escape(about.title)}. {_SETTINGS}"
    return _PAGE.format(heading="You are unsubscribed", words=words, button="").encode()
