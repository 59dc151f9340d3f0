"""Routes whose body is a file, which the message takes as it is: more is read of it, and for longer."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive

from promptforge.core.messages import Message
from promptforge.http.body import BodyLimits, read_body
from promptforge.http.endpoint import Endpoint
from promptforge.http.errors import UnsupportedMediaType
from promptforge.http.exchange import Exchange
from promptforge.http.idempotency import Asked
from promptforge.http.replies import Rendered

LIMITS = BodyLimits(max_bytes=16 * 1024 * 1024, timeout_seconds=120.0)


class UploadEndpoint(Endpoint):
    """Made once per route of an upload."""

    async def _read(self, exchange: Exchange, receive: Receive) -> bytes:
        upload = self.route.upload
        sent = exchange.headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if upload is None or sent != upload.media_type.encode("ascii"):
            raise UnsupportedMediaType(f"Send the file: Content-Type: {upload.media_type if upload else ''}")
        return await read_body(exchange, receive, LIMITS)

    def _bind(self, path: Mapping[str, str], query: bytes, body: bytes) -> Message[Any]:
        message = self.binder.bind(path, query, b"")
        if self.route.upload is None:
            return message
        return dataclasses.replace(message, **{self.route.upload.field: body})

    async def _asked(self, exchange: Exchange, path: Mapping[str, str], body: bytes) -> Asked | Rendered | None:
        """What names a request is told by JSON: here by the file's hash."""
        return await super()._asked(exchange, path, b'"%s"' % hashlib.sha256(body).hexdigest().encode("ascii"))
