"""The edge behind the real server, in this process, and what a test sends to it and reads from it as bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketStream

from promptforge.deploy.connections import Limits
from promptforge.deploy.server import bind, serve
from promptforge.http.app import HttpSettings
from promptforge.http.body import BodyLimits
from tests.unit.http.sample import Parts, Served, serving

TOKEN = "authorization: bearer alice"
JSON = "content-type: application/json"


@dataclass
class Answer:
    """A response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        code: str = json.loads(self.body)["code"]
        return code


@dataclass
class Listening(Served):
    """Served, the port it listens on, and what stops it."""

    port: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self) -> SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)

    async def exchange(self, request: bytes) -> Answer:
        async with await self.connect() as stream:
            await stream.send(request)
            return await answer(stream)


@asynccontextmanager
async def listening(
    body: BodyLimits | None = None,
    *,
    limits: Limits | None = None,
    grace_seconds: float = 3.0,
    parts: Parts | None = None,
) -> AsyncIterator[Listening]:
    """The sample feature behind the server of the product, on a free port."""
    settings = HttpSettings(version="1", body=body or BodyLimits())
    async with serving(parts or Parts(settings=settings)) as served:
        listener = bind("127.0.0.1", 0)
        port = listener.getsockname()[1]
        stop = asyncio.Event()
        server = asyncio.create_task(
            serve(
                served.app,
                listener,
                shutdown=stop.wait,
                grace_seconds=grace_seconds,
                limits=limits or Limits(100),
                https_only=parts is not None and parts.settings.https_only,
            )
        )
        try:
            yield Listening(**vars(served), port=port, stop=stop)
        finally:
            stop.set()
            await server


async def answer(stream: SocketStream, *, head: bool = False) -> Answer:
    """Read one response with a Content-Length; an interim one is skipped."""
    body = b""
    top = b" 1"
    with anyio.fail_after(60):
        while top.split(b" ", 2)[1].startswith(b"1"):
            while b"\r\n\r\n" not in body:
                body += await stream.receive()
            top, _, body = body.partition(b"\r\n\r\n")
        first, *lines = top.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if head else int(headers.get("content-length", 0))
        while len(body) < length:
            body += await stream.receive()
    return Answer(int(first.split()[1]), headers, body)


async def ended(stream: SocketStream) -> None:
    """Wait for the server to close the connection."""
    with anyio.fail_after(60):
        async for _ in stream:
            pass


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: service", *headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
