"""Routes whose reply is a file: whole, or the part that a Range asks for, so that what broke off can be gone on with.

The file is read while it is sent, a few pieces at a time. Who may have it is judged for each request anew. It is always
an attachment of a declared type that browsers do not guess at (docs/security.md).
"""

from __future__ import annotations

from contextlib import aclosing

from starlette.types import Receive, Scope, Send

from promptforge.core.downloads import Download
from promptforge.http.conditions import known_already
from promptforge.http.endpoint import Endpoint
from promptforge.http.exchange import Exchange
from promptforge.http.problems import Headers
from promptforge.http.ranges import Part, part_of, still_the_same


class DownloadEndpoint(Endpoint):
    """Made once per route of a download."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, _, context, message, _ = await self._admit(scope, receive)
        watch = self._edge.disconnects.watch
        reply: object = await self._wait(context.ask(message), None, watch(exchange, receive))
        if not isinstance(reply, Download):
            raise TypeError(f"{self.route.message.__name__} does not answer a download")
        await self._wait(_send(exchange, reply, send), None, watch(exchange, receive))


async def _send(exchange: Exchange, file: Download, send: Send) -> None:
    tag = f'"{file.tag}"'.encode("ascii")
    headers: Headers = [(b"etag", tag), (b"accept-ranges", b"bytes")]
    if known_already(exchange.headers, tag):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    part: Part | None = None
    asked = exchange.headers.get(b"range") if exchange.method == "GET" else None
    if asked is not None and still_the_same(exchange.headers.get(b"if-range"), tag):
        part = part_of(asked, file.size)
    status = 200
    if part is not None:
        status = 206
        told = f"bytes {part.start}-{part.end - 1}/{file.size}"
        headers.append((b"content-range", told.encode("ascii")))
    else:
        part = Part(0, file.size)
    headers += [
        (b"content-type", file.media_type.encode("ascii")),
        (b"content-length", b"%d" % (part.end - part.start)),
        (b"content-disposition", f'attachment; filename="{file.name}"'.encode("ascii")),
    ]
    if file.begin is not None and exchange.method != "HEAD":
        await file.begin()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if exchange.method != "HEAD":
        async with aclosing(file.read(part.start, part.end)) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
