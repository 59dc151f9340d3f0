"""Responses that never change while the process runs: made once, with an ETag, and 304 for who has them already."""

from __future__ import annotations

import gzip
import re

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from promptforge.http.conditions import etag, known_already

COMPRESSED_FROM = 500
"""Bytes; the compressed form is kept, for making it at each request would hold up all others. It is gzip, which
everybody takes who takes anything compressed."""

_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:,|$|;\s*q=(?:1|0?\.0*[1-9]))", re.IGNORECASE)


class Fixed:
    """One such response; `csp` is its content security policy where the usual one does not do."""

    def __init__(self, body: bytes, media_type: str, *, csp: str | None = None) -> None:
        self._body = body
        self._packed: bytes | None = None
        self._tag = etag(body)
        weak = f"W/{self._tag.decode()}"  # the same whether compressed or not
        self._headers = {"etag": weak, "cache-control": "no-cache", "content-type": media_type}
        if csp is not None:
            self._headers["content-security-policy"] = csp
            self._headers.update({"cross-origin-opener-policy": "same-origin", "referrer-policy": "no-referrer"})

    async def respond(self, request: Request) -> Response:
        """Answer GET and HEAD."""
        if known_already(dict(request.scope["headers"]), self._tag):
            return Response(status_code=304, headers=self._headers)
        if len(self._body) < COMPRESSED_FROM:
            return Response(self._body, headers=self._headers)
        headers = {**self._headers, "vary": "Accept-Encoding"}
        if not _GZIP.search(request.headers.get("accept-encoding", "")):
            return Response(self._body, headers=headers)
        if self._packed is None:
            self._packed = await anyio.to_thread.run_sync(gzip.compress, self._body)
        return Response(self._packed, headers={**headers, "content-encoding": "gzip"})
