"""What the endpoints of OAuth 2.0 have in common: forms in, who asks, and refusals in the words of RFC 6749, 5.2.

A client says who it is by HTTP Basic or in the form (2.3.1), never in both and never in the address. What does not get
as far, such as a body that is too large, is a problem document as everywhere.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_plus

import orjson
from starlette.types import Receive, Scope, Send

from promptforge.actors.partnerships.errors import AppStopped, ScopeNotGranted, TokenNotYours, WrongCredentials
from promptforge.core.errors import PromptForgeError
from promptforge.core.messages import Message
from promptforge.core.runtime import System
from promptforge.http.body import BodyLimits, read_body
from promptforge.http.dispatch import refuse_method
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.rates import RateClass, Rates

T = TypeVar("T")
LIMITS = BodyLimits(max_bytes=8192, timeout_seconds=10.0)
CREDENTIALS = frozenset({"client_id", "client_secret"})
"""Fields that every form here may have."""
MOST_FIELDS = 32
LONGEST = 256
"""Of a client id, and of a secret."""
_FORM = re.compile(rb"application/x-www-form-urlencoded[ \t]*(?:;.*)?", re.IGNORECASE)
_BASIC = re.compile(rb"[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]+=*) *")
_REFUSALS: dict[type[PromptForgeError], tuple[int, str]] = {
    WrongCredentials: (401, "invalid_client"),
    AppStopped: (400, "unauthorized_client"),
    TokenNotYours: (400, "unauthorized_client"),
    ScopeNotGranted: (400, "invalid_scope"),
}
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
]
_CHALLENGE = (b"www-authenticate", b'Basic realm="promptforge", charset="UTF-8"')


class Refused(Exception):  # it is an answer, and no error of the service's
    """An answer of RFC 6749, 5.2."""

    def __init__(self, status: int, error: str, words: str) -> None:
        self.status = status
        self.error = error
        self.words = words


@dataclass(frozen=True, slots=True)
class Credentials:
    client_id: str
    secret: str


class OAuthEndpoint:
    """ASGI endpoint. Wrong secrets count against their sender's address, as bad tokens do.

    `known` are the form's fields beside `CREDENTIALS`; `asked` makes the message from those that were sent and the
    client's credentials, or raises `Refused`; `answered` makes the document of its reply, None for an empty one.
    """

    def __init__(
        self,
        system: System,
        rates: Rates,
        *,
        known: frozenset[str],
        asked: Callable[[Mapping[str, str], Credentials], Message[T]],
        answered: Callable[[T], dict[str, Any] | None],  # Any: JSON
    ) -> None:
        self._system = system
        self._rates = rates
        self._known = known | CREDENTIALS
        self._asked = asked
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        self._rates.count(exchange, RateClass.DEFAULT)
        if exchange.method != "POST":
            await refuse_method(exchange.method, ("POST", "OPTIONS"), send)
            return
        self._rates.check(exchange, RateClass.SIGN_IN)
        try:
            fields = _fields(exchange, await read_body(exchange, receive, LIMITS), self._known)
            credentials = _credentials(exchange.headers.get(b"authorization"), fields)
            reply = await self._ask(self._asked(fields, credentials), exchange)
        except Refused as refused:
            if refused.status == 401:
                self._rates.refused(exchange, RateClass.SIGN_IN)
            exchange.problem = refused.error
            body = {"error": refused.error, "error_description": refused.words}
            await _send(send, refused.status, body)
            return
        await _send(send, 200, self._answered(reply))

    async def _ask(self, message: Message[T], exchange: Exchange) -> T:
        # The secret authenticates the sender, and what is done for who has it is an internal operation.
        context = self._system.context(request_id=exchange.request_id, trace_id=exchange.trace_id, trusted=True)
        try:
            return await context.ask(message)
        except tuple(_REFUSALS) as error:
            raise Refused(*_REFUSALS[type(error)], error.detail) from None


def _fields(exchange: Exchange, body: bytes, known: frozenset[str]) -> dict[str, str]:
    """Those that are known and have a value: without one they count as left out, others are passed over (3.2)."""
    if not _FORM.fullmatch(exchange.headers.get(b"content-type", b"")):
        raise Refused(400, "invalid_request", "Send a form: Content-Type: application/x-www-form-urlencoded")
    if exchange.query:
        raise Refused(400, "invalid_request", "Parameters are in the body, for addresses are in logs")
    try:
        pairs = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refused(400, "invalid_request", f"The body is no form of {MOST_FIELDS} fields at most") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise Refused(400, "invalid_request", f"{name} is there twice")
        if name in known:
            fields[name] = value
    return fields


def _credentials(header: bytes | None, fields: dict[str, str]) -> Credentials:
    if header is None:
        found = Credentials(fields.get("client_id", ""), fields.get("client_secret", ""))
    else:
        found = _basic(header)
        if "client_secret" in fields or fields.get("client_id", found.client_id) != found.client_id:
            raise Refused(400, "invalid_request", "Say who you are in the header or in the body, not in both")
    if not (0 < len(found.client_id) <= LONGEST and 0 < len(found.secret) <= LONGEST):
        raise Refused(401, "invalid_client", WrongCredentials.title)
    return found


def _basic(header: bytes) -> Credentials:
    """Both are form-encoded before they are put together (2.3.1)."""
    match = _BASIC.fullmatch(header)
    try:
        if match is None:
            raise ValueError("another scheme")  # noqa: TRY301  # caught right below, with the other ways to be wrong
        client_id, colon, secret = base64.b64decode(match[1], validate=True).decode().partition(":")
        if not colon:
            raise ValueError("one half")  # noqa: TRY301  # as above
        return Credentials(unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict"))
    except (binascii.Error, ValueError):
        raise Refused(401, "invalid_client", "The Authorization header is not Basic with an id and a secret") from None


async def _send(send: Send, status: int, document: dict[str, Any] | None) -> None:  # Any: JSON
    body = b"" if document is None else orjson.dumps(document)
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append(_CHALLENGE)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def refused_with(status: int) -> dict[str, Any]:  # Any: JSON
    words = {"error": {"type": "string"}, "error_description": {"type": "string"}}
    schema = {"type": "object", "required": ["error"], "properties": words}
    error = "invalid_client" if status == 401 else "invalid_scope"
    content = {"application/json": {"schema": schema, "example": {"error": error}}}
    return {"description": "Refused, in the words of RFC 6749, 5.2", "content": content}


def problems_too() -> dict[str, Any]:  # Any: JSON
    """What never gets so far as to be refused in those words, for the API documentation."""
    names = (("408", "BodyTooSlow"), ("413", "BodyTooLarge"), ("429", "TooManyRequests"), ("503", "Unavailable"))
    return {status: {"$ref": f"#/components/responses/{name}"} for status, name in names}
