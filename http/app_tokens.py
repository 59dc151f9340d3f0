"""Tokens of partners' apps: given (OAuth 2.0 client credentials, RFC 6749, 4.4) and ended (RFC 7009)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from promptforge.actors.partnerships.apps.messages import AppToken, IssueAppToken, RevokeAppToken
from promptforge.core.runtime import System
from promptforge.http.oauth import Credentials, OAuthEndpoint, Refused, problems_too, refused_with
from promptforge.http.rates import Rates

PATH = "/api/v1/partnerships/oauth/token"
REVOCATION_PATH = "/api/v1/partnerships/oauth/revoke"
GRANT = "client_credentials"
LONGEST_TOKEN = 4096
_TOKEN_FIELDS = frozenset({"grant_type", "scope"})
_REVOCATION_FIELDS = frozenset({"token", "token_type_hint"})
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


def token_endpoint(system: System, rates: Rates) -> OAuthEndpoint:
    return OAuthEndpoint(system, rates, known=_TOKEN_FIELDS, asked=_token_asked, answered=_token_answered)


def revocation_endpoint(system: System, rates: Rates) -> OAuthEndpoint:
    """200 and nothing else, whether or not there was such a token (RFC 7009, 2.2)."""
    known = _REVOCATION_FIELDS
    return OAuthEndpoint(system, rates, known=known, asked=_revocation_asked, answered=lambda _: None)


def _token_asked(fields: Mapping[str, str], credentials: Credentials) -> IssueAppToken:
    """What is asked for. Raises `Refused`."""
    grant = fields.get("grant_type")
    if grant is None:
        raise Refused(400, "invalid_request", "grant_type is missing")
    if grant != GRANT:
        raise Refused(400, "unsupported_grant_type", f"The only grant here is {GRANT}")
    asked = fields.get("scope")
    if asked is not None and not _SCOPES.fullmatch(asked):
        raise Refused(400, "invalid_scope", "Scopes are words with single spaces between them")
    scopes = None if asked is None else tuple(asked.split(" "))
    return IssueAppToken(client_id=credentials.client_id, secret=credentials.secret, scopes=scopes)


def _token_answered(token: AppToken) -> dict[str, Any]:  # Any: JSON
    return {
        "access_token": token.token,
        "token_type": "Bearer",
        "expires_in": token.lifetime_seconds,
        "scope": " ".join(token.scopes),
    }


def _revocation_asked(fields: Mapping[str, str], credentials: Credentials) -> RevokeAppToken:
    """A hint of the token's type is taken and not needed: there is one type (RFC 7009, 2.1). Raises `Refused`."""
    token = fields.get("token")
    if token is None:
        raise Refused(400, "invalid_request", "token is missing")
    if len(token) > LONGEST_TOKEN:
        raise Refused(400, "invalid_request", "That is too long for a token")
    return RevokeAppToken(client_id=credentials.client_id, secret=credentials.secret, token=token)


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
_GIVEN: dict[str, Any] = {  # Any: JSON
    "access_token": "pfa_9Wd3kQv7Zt5LmXr2Hc8BnYs6Pf1GjT4Ua0EoVi0pR8qK",
    "token_type": "Bearer",
    "expires_in": 900,
    "scope": "listings:read",
}
_REVOKED = {
    "type": "object",
    "required": ["token"],
    "properties": {"token": _TEXT, "token_type_hint": _TEXT, "client_id": _TEXT, "client_secret": _TEXT},
}


def _form(schema: dict[str, Any], example: dict[str, str]) -> dict[str, Any]:  # Any: JSON
    return {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": schema, "example": example}},
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
            "requestBody": _form(_ASKED, {"grant_type": GRANT, "scope": "listings:read"}),
            "responses": {
                "200": {
                    "description": "A token, for the Authorization header",
                    "content": {"application/json": {"schema": _TOKEN, "example": _GIVEN}},
                },
                "400": refused_with(400),
                "401": refused_with(401),
                **problems_too(),
            },
        }
    },
    REVOCATION_PATH: {
        "post": {
            "operationId": "revokeAppToken",
            "tags": ["partnerships"],
            "summary": "End a token of an app",
            "description": "OAuth 2.0 token revocation (RFC 7009), with the app's `client_id` and `client_secret` by "
            "HTTP Basic, or in the form. 200 also where there is no such token (any more); 400 `unauthorized_client` "
            "for another app's.",
            "security": [],
            "requestBody": _form(_REVOKED, {"token": _GIVEN["access_token"]}),
            "responses": {
                "200": {"description": "The token, if it was one of the app's, is good for nothing any more"},
                "400": refused_with(400),
                "401": refused_with(401),
                **problems_too(),
            },
        }
    },
}
