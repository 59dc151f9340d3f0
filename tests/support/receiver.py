"""A receiver of webhooks on a real socket: it keeps what it gets, and answers as a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

Behaviour = Callable[["Receiver", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answering(status: int, *, headers: str = "") -> Behaviour:
    async def answer(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{headers}content-length: 2\r\n\r\nok".encode())
        await writer.drain()

    return answer


async def hanging(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def dripping(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
    """A head that never ends, a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
    """A body of gigabytes."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()
        receiver.bytes_sent += 65_536


async def huge_head(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(20_000):
        writer.write(f"x-{number}: {'y' * 50}\r\n".encode())
        await writer.drain()
    await asyncio.sleep(3600)


@dataclass
class Receiver:
    port: int = 0
    behaviour: Behaviour = field(default_factory=lambda: answering(200))
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    bytes_sent: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *fields = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, path, _ = line.split(" ")
            self.received.append(Received(method, path, headers, body))
            await self.behaviour(self, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the sender has gone, which is its right
        finally:
            writer.close()

    async def until_received(self, number: int) -> None:
        with anyio.fail_after(60):
            while len(self.received) < number:
                await anyio.sleep(0.01)


@asynccontextmanager
async def receiving(
    behaviour: Behaviour | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    if behaviour is not None:
        receiver.behaviour = behaviour
    open_now: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            open_now.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(open_now):
            task.cancel()
        await asyncio.sleep(0)
