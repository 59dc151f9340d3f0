"""Responses that never change while the process runs: made once, with an ETag, and 304 for who has them already."""

from __future__ import annotations

import gzip
import re

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from promptforge.http.conditions import COMPRESSED_FROM, etag, known_already, validator

_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:,|$|;\s*q=(?:1|0?\.0*[1-9]))", re.IGNORECASE)


class Fixed:
    """One such response; `csp` is its content security policy where the usual one does not do."""

    def __init__(self, body: bytes, media_type: str, *, csp: str | None = None) -> None:
        self._body = body
        self._packed: bytes | None = None
        self._tag = etag(body)
        self._type = {"content-type": media_type}
        self._headers = {"etag": validator(body, self._tag).decode(), "cache-control": "no-cache"}
        if len(body) >= COMPRESSED_FROM:
            self._headers["vary"] = "Accept-Encoding"
        if csp is not None:
            self._headers["content-security-policy"] = csp
            self._headers.update({"cross-origin-opener-policy": "same-origin", "referrer-policy": "no-referrer"})

    async def respond(self, request: Request) -> Response:
        """Answer GET and HEAD."""
        if known_already(dict(request.scope["headers"]), self._tag):
            return Response(status_code=304, headers=self._headers)
        headers = {**self._headers, **self._type}
        if len(self._body) < COMPRESSED_FROM or not _GZIP.search(request.headers.get("accept-encoding", "")):
            return Response(self._body, headers=headers)
        if self._packed is None:
            # Kept: making it at each request would hold up all others. Who takes anything compressed takes gzip.
            self._packed = await anyio.to_thread.run_sync(gzip.compress, self._body)
        return Response(self._packed, headers={**headers, "content-encoding": "gzip"})
