"""Where the endpoints of OAuth 2.0 are and what they take, for programs that look it up (RFC 8414)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from promptforge.http import app_tokens
from promptforge.http.fixed import Fixed
from promptforge.http.routing import Route

PATH = "/.well-known/oauth-authorization-server"
AUTHENTICATION = ["client_secret_basic", "client_secret_post"]


def metadata(base_url: str, routes: Iterable[Route]) -> dict[str, Any]:  # Any: JSON
    """`base_url` is where clients find this service, without a slash at its end: the issuer."""
    scopes = {requirement.scope for route in routes if (requirement := route.message.requirement) and requirement.scope}
    return {
        "issuer": base_url,
        "token_endpoint": base_url + app_tokens.PATH,
        "token_endpoint_auth_methods_supported": AUTHENTICATION,
        "revocation_endpoint": base_url + app_tokens.REVOCATION_PATH,
        "revocation_endpoint_auth_methods_supported": AUTHENTICATION,
        "grant_types_supported": [app_tokens.GRANT],
        "response_types_supported": [],
        "scopes_supported": sorted(scopes),
        "service_documentation": base_url + "/docs",
    }


def page(base_url: str, routes: Iterable[Route]) -> Fixed:
    return Fixed(orjson.dumps(metadata(base_url, routes)), "application/json")
