"""The token endpoint of partners' apps: OAuth 2.0 client credentials (RFC 6749, 4.4), as that RFC has it.

Forms in, by HTTP Basic or in the body (2.3.1); JSON out that is never cached (5.1), and refusals in its words (5.2).
What does not get as far, such as a body that is too large, is a problem document as everywhere.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import orjson
from starlette.types import Receive, Scope, Send

from promptforge.actors.partnerships.apps.messages import AppToken, IssueAppToken
from promptforge.actors.partnerships.errors import AppStopped, ScopeNotGranted, WrongCredentials
from promptforge.core.errors import PromptForgeError
from promptforge.core.runtime import System
from promptforge.http.body import BodyLimits, read_body
from promptforge.http.dispatch import refuse_method
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.rates import RateClass, Rates

PATH = "/api/v1/partnerships/oauth/token"
LIMITS = BodyLimits(max_bytes=8192, timeout_seconds=10.0)
MOST_FIELDS = 32
LONGEST = 256
"""Of a client id, and of a secret."""
GRANT = "client_credentials"
_FORM = re.compile(rb"application/x-www-form-urlencoded[ \t]*(?:;.*)?", re.IGNORECASE)
_BASIC = re.compile(rb"[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]+=*) *")
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")
_REFUSALS: dict[type[PromptForgeError], tuple[int, str]] = {
    WrongCredentials: (401, "invalid_client"),
    AppStopped: (400, "unauthorized_client"),
    ScopeNotGranted: (400, "invalid_scope"),
}
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
]
_CHALLENGE = (b"www-authenticate", b'Basic realm="promptforge", charset="UTF-8"')


class _Refused(Exception):
    """An answer of RFC 6749, 5.2."""

    def __init__(self, status: int, error: str, words: str) -> None:
        self.status = status
        self.error = error
        self.words = words


@dataclass(frozen=True, slots=True)
class _Credentials:
    client_id: str
    secret: str


class TokenEndpoint:
    """ASGI endpoint. Wrong secrets count against their sender's address, as bad tokens do."""

    def __init__(self, system: System, rates: Rates) -> None:
        self._system = system
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        self._rates.count(exchange, RateClass.DEFAULT)
        if exchange.method != "POST":
            await refuse_method(exchange.method, ("POST", "OPTIONS"), send)
            return
        self._rates.check(exchange, RateClass.SIGN_IN)
        try:
            message = _message(exchange, await read_body(exchange, receive, LIMITS))
            token = await self._issue(message, exchange)
        except _Refused as refused:
            if refused.status == 401:
                self._rates.refused(exchange, RateClass.SIGN_IN)
            exchange.problem = refused.error
            body = {"error": refused.error, "error_description": refused.words}
            await _send(send, refused.status, body)
            return
        await _send(
            send,
            200,
            {
                "access_token": token.token,
                "token_type": "Bearer",
                "expires_in": token.lifetime_seconds,
                "scope": " ".join(token.scopes),
            },
        )

    async def _issue(self, message: IssueAppToken, exchange: Exchange) -> AppToken:
        # The secret authenticates the sender, and giving tokens is an internal operation.
        context = self._system.context(request_id=exchange.request_id, trace_id=exchange.trace_id, trusted=True)
        try:
            return await context.ask(message)
        except tuple(_REFUSALS) as error:
            raise _Refused(*_REFUSALS[type(error)], error.detail) from None


def _message(exchange: Exchange, body: bytes) -> IssueAppToken:
    """What is asked for. Raises `_Refused`."""
    fields = _fields(exchange, body)
    credentials = _credentials(exchange.headers.get(b"authorization"), fields)
    grant = fields.get("grant_type")
    if grant is None:
        raise _Refused(400, "invalid_request", "grant_type is missing")
    if grant != GRANT:
        raise _Refused(400, "unsupported_grant_type", f"The only grant here is {GRANT}")
    asked = fields.get("scope")
    if asked is not None and not _SCOPES.fullmatch(asked):
        raise _Refused(400, "invalid_scope", "Scopes are words with single spaces between them")
    scopes = None if asked is None else tuple(asked.split(" "))
    return IssueAppToken(client_id=credentials.client_id, secret=credentials.secret, scopes=scopes)


def _fields(exchange: Exchange, body: bytes) -> dict[str, str]:
    """Those that have a value: without one they count as left out, and those nobody knows do not count (3.2)."""
    if not _FORM.fullmatch(exchange.headers.get(b"content-type", b"")):
        raise _Refused(400, "invalid_request", "Send a form: Content-Type: application/x-www-form-urlencoded")
    if exchange.query:
        raise _Refused(400, "invalid_request", "Parameters are in the body, for addresses are in logs")
    try:
        pairs = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise _Refused(400, "invalid_request", f"The body is no form of {MOST_FIELDS} fields at most") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _Refused(400, "invalid_request", "A field is there twice")
    return fields


def _credentials(header: bytes | None, fields: dict[str, str]) -> _Credentials:
    if header is None:
        found = _Credentials(fields.get("client_id", ""), fields.get("client_secret", ""))
    else:
        found = _basic(header)
        if "client_secret" in fields or fields.get("client_id", found.client_id) != found.client_id:
            raise _Refused(400, "invalid_request", "Say who you are in the header or in the body, not in both")
    if not (0 < len(found.client_id) <= LONGEST and 0 < len(found.secret) <= LONGEST):
        raise _Refused(401, "invalid_client", WrongCredentials.title)
    return found


def _basic(header: bytes) -> _Credentials:
    """Both are form-encoded before they are put together (2.3.1)."""
    match = _BASIC.fullmatch(header)
    try:
        if match is None:
            raise ValueError("another scheme")  # noqa: TRY301  # caught right below, with the other ways to be wrong
        client_id, colon, secret = base64.b64decode(match[1], validate=True).decode().partition(":")
        if not colon:
            raise ValueError("one half")  # noqa: TRY301  # as above
        return _Credentials(unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict"))
    except (binascii.Error, ValueError):
        raise _Refused(401, "invalid_client", "The Authorization header is not Basic with an id and a secret") from None


async def _send(send: Send, status: int, document: dict[str, Any]) -> None:  # Any: JSON
    body = orjson.dumps(document)
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append(_CHALLENGE)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _described(status: int) -> dict[str, Any]:  # Any: JSON
    words = {"error": {"type": "string"}, "error_description": {"type": "string"}}
    schema = {"type": "object", "required": ["error"], "properties": words}
    error = "invalid_client" if status == 401 else "invalid_scope"
    content = {"application/json": {"schema": schema, "example": {"error": error}}}
    return {"description": "Refused, in the words of RFC 6749, 5.2", "content": content}


_TEXT = {"type": "string"}
_ASKED = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {"grant_type": {"const": GRANT}, "scope": _TEXT, "client_id": _TEXT, "client_secret": _TEXT},
}
_TOKEN = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in", "scope"],
    "properties": {
        "access_token": _TEXT,
        "token_type": {"const": "Bearer"},
        "expires_in": {"type": "integer"},
        "scope": _TEXT,
    },
}
_GIVEN = {
    "access_token": "pfa_9Wd3kQv7Zt5LmXr2Hc8BnYs6Pf1GjT4Ua0EoVi0pR8qK",
    "token_type": "Bearer",
    "expires_in": 900,
    "scope": "listings:read",
}
PATHS: dict[str, Any] = {  # Any: JSON
    PATH: {
        "post": {
            "operationId": "getAppToken",
            "tags": ["partnerships"],
            "summary": "Get a token for an app",
            "description": "OAuth 2.0 client credentials (RFC 6749, 4.4): `client_id` and `client_secret` by HTTP "
            "Basic, or in the form. `scope` names some of the app's scopes; without it the token has all of them.",
            "security": [],
            "requestBody": {
                "required": True,
                "content": {
                    "application/x-www-form-urlencoded": {
                        "schema": _ASKED,
                        "example": {"grant_type": GRANT, "scope": "listings:read"},
                    }
                },
            },
            "responses": {
                "200": {
                    "description": "A token, for the Authorization header",
                    "content": {"application/json": {"schema": _TOKEN, "example": _GIVEN}},
                },
                "400": _described(400),
                "401": _described(401),
                **{
                    status: {"$ref": f"#/components/responses/{name}"}
                    for status, name in (
                        ("408", "BodyTooSlow"),
                        ("413", "BodyTooLarge"),
                        ("429", "TooManyRequests"),
                        ("503", "Unavailable"),
                    )
                },
            },
        }
    }
}
