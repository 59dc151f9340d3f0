"""Referral links, as people follow them: `/r/{code}` leads to the front page, or to the path that `to` names.

What the visitor gets on the way (`referral=…` in the address) is what the frontend keeps; no cookie is set, and nothing
is kept of who it was. A link that brings nobody any more leads there all the same, without it: a visitor is not told of
a partner's troubles. It leads to no other site, whatever `to` says.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import Response

from promptforge.actors.partnerships.referrals.messages import FollowReferralLink
from promptforge.core.errors import NotFound
from promptforge.core.runtime import System
from promptforge.http.exchange import exchange_of

PATH = "/r/{code}"
PARAMETER = "referral"
LONGEST = 500
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
"""A path of this site: browsers take two slashes, or a backslash, for the beginning of another one."""


class ReferralLinks:
    def __init__(self, system: System) -> None:
        self._system = system

    async def follow(self, request: Request) -> Response:
        to = _own_path(request.query_params.get("to", "/"))
        code = request.path_params["code"]
        if request.method == "GET" and len(code) <= 64:  # a program that asks for the head is nobody's visit
            exchange = exchange_of(request.scope)
            context = self._system.context(request_id=exchange.request_id, trace_id=exchange.trace_id, trusted=True)
            try:
                touch = await context.ask(FollowReferralLink(code=code))
            except NotFound:
                pass
            else:
                to = _with_token(to, touch.token)
        headers = {"location": to, "cache-control": "no-store", "referrer-policy": "no-referrer"}
        return Response(status_code=302, headers=headers)


def _own_path(to: str) -> str:
    """The front page for anything else."""
    return to if len(to) <= LONGEST and _OWN_PATH.fullmatch(to) else "/"


def _with_token(to: str, token: str) -> str:
    parts = urlsplit(to)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}{PARAMETER}={quote(token)}"))
