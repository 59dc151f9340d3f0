"""The connections of a process: how many there are, and by when each must have done something.

A connection is always in one of four states, and only one of them may last: resting between requests (closed after the
keep-alive time, or sooner where another client needs the room), sending the head of a request, taking what is sent to
it, and closing, each with a deadline that one timer looks after for all; or its request is being served, which the
application limits. So whoever says nothing, too little, or reads nothing holds a connection for a known time, and
nothing but that connection. Hypercorn's own connections wait for ever on a client that does not read.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import structlog
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from starlette.types import ASGIApp

from promptforge.deploy.wire import Wire
from promptforge.http.refusals import Refusals

log = structlog.get_logger(__name__)

READ_BYTES = 64 * 1024
READ_AWAY_BYTES = 2 * 1024 * 1024
"""How much of what a refused client still sends is read, so that the refusal reaches it (RFC 9112, 9.6)."""

AT_ONCE = 50
"""How many connections are ended before requests have their turn again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`most` connections. What is sent must be taken within `send_seconds` and one more per `send_bytes_a_second`."""

    most: int
    head_seconds: float = 15.0
    keep_alive_seconds: float = 75.0
    send_seconds: float = 20.0
    send_bytes_a_second: int = 16 * 1024
    close_seconds: float = 2.0
    sweep_seconds: float = 1.0


class Connections:
    """All connections of one listener. `watch` must run beside it; `finish` ends it."""

    def __init__(self, app: ASGIApp, config: Config, limits: Limits, refusals: Refusals) -> None:
        self.app = app
        self.config = config
        self.limits = limits
        self.refusals = refusals
        self.context = WorkerContext(None)
        self.resting: dict[Connection, None] = {}
        """Those without a request, longest first."""
        self._open: dict[Connection, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one more; where there are too many, at the cost of the one that rests longest, or not at all."""
        full = len(self._open) >= self.limits.most
        if full and (longest := next(iter(self.resting), None)) is not None:
            longest.close()
            full = False
        connection = Connection(self, reader, writer)
        self._open[connection] = asyncio.create_task(self._serve(connection, refused=full))

    async def _serve(self, connection: Connection, *, refused: bool) -> None:
        try:
            await connection.run(refused=refused)
        except Exception:
            log.exception("http.connection_failed")
        finally:
            self.resting.pop(connection, None)
            del self._open[connection]

    async def watch(self) -> None:
        """Let go of every connection whose time is over."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.sweep_seconds)
            now = loop.time()
            late = [connection for connection in self._open if connection.due <= now]
            for number, connection in enumerate(late, 1):
                await connection.expire()
                if not number % AT_ONCE:
                    await asyncio.sleep(0)

    async def finish(self, grace_seconds: float) -> None:
        """Close those that rest, give the others `grace_seconds` for what they are doing, and end what is left."""
        await self.context.terminated.set()
        for connection in tuple(self.resting):
            connection.close()
        if not await self._gone(grace_seconds):
            for connection, task in tuple(self._open.items()):
                connection.abort()
                task.cancel()
            await self._gone(self.limits.close_seconds)

    async def _gone(self, seconds: float) -> bool:
        if self._open:
            await asyncio.wait(self._open.values(), timeout=seconds)
        return not self._open


class Connection:
    """One client. `due` is when its time is over (on the loop's clock)."""

    __slots__ = (
        "_client",
        "_closing",
        "_head_begun",
        "_loop",
        "_owner",
        "_reader",
        "_server",
        "_wire",
        "_writer",
        "due",
    )

    _wire: Wire

    def __init__(self, owner: Connections, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._owner = owner
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._client = _address(writer, "peername")
        self._server = _address(writer, "sockname")
        self._closing = False
        self._head_begun = True  # a new connection has as long for its first head as any other head
        self.due = inf

    async def run(self, *, refused: bool) -> None:
        """To the end of the connection and of its last request."""
        owner = self._owner
        try:
            async with TaskGroup(self._loop) as tasks:
                self._wire = Wire(
                    owner.app,
                    owner.config,
                    owner.context,
                    tasks,
                    client=self._client,
                    server=self._server,
                    send=self._send,
                    push=self._push,
                    refusals=owner.refusals,
                )
                self._rest(owner.limits.head_seconds)
                if refused:
                    await self._wire.refuse(owner.refusals.make(503, client=self._client))
                await self._read()
        finally:
            self.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    async def expire(self) -> None:
        """Its time is over: end it as its state allows."""
        if self not in self._owner.resting or self._writer.transport.get_write_buffer_size():  # it takes nothing
            self.abort()
        elif self._wire.in_head:
            await self._wire.refuse(self._owner.refusals.make(408, client=self._client))
        else:
            self.close()

    def close(self) -> None:
        """Send what is still to be sent, if the client takes it in time."""
        self._begin_closing()
        self._writer.close()

    def abort(self) -> None:
        self.due = inf
        self._writer.transport.abort()

    async def _read(self) -> None:
        data = b"?"
        while data and not self._closing:
            data = await self._more()
            if not self._head_begun:
                self._head_begun = True
                self.due = self._loop.time() + self._owner.limits.head_seconds
            await self._wire.handle(RawData(data))
        await self._wire.handle(Closed())
        left = READ_AWAY_BYTES
        while data and left > 0:
            data = await self._more()
            left -= len(data)

    async def _more(self) -> bytes:
        """What the client sent; nothing once it has gone."""
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            return b""

    async def _send(self, event: Event) -> None:
        """What the protocol wants: data sent, the connection closed, or to say that it rests or works."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            self._finish()
        elif isinstance(event, Updated):
            if event.idle:
                self._head_begun = False
                self._rest(self._owner.limits.keep_alive_seconds)
            else:
                self._owner.resting.pop(self, None)
                self.due = inf

    async def _write(self, data: bytes) -> None:
        if self._writer.is_closing():
            return
        limits = self._owner.limits
        self._writer.write(data)
        self.due = self._loop.time() + limits.send_seconds + len(data) / limits.send_bytes_a_second
        with suppress(OSError):
            await self._writer.drain()
        if not self._closing:
            self.due = inf

    def _push(self, head: bytes) -> None:
        """Without waiting: that it is not taken shows at the next write."""
        if not self._writer.is_closing():
            self._writer.write(head)

    def _rest(self, seconds: float) -> None:
        self._owner.resting[self] = None
        self.due = self._loop.time() + seconds

    def _finish(self) -> None:
        """The protocol is at its end. A client that was refused may be sending still: let it hear why first."""
        self._wire.let_head_go()
        self._wire.end()
        if not self._wire.refused or self._writer.is_closing():
            self.close()
            return
        self._begin_closing()
        with suppress(OSError, RuntimeError):
            self._writer.write_eof()

    def _begin_closing(self) -> None:
        if not self._closing:
            self._closing = True
            self._owner.resting.pop(self, None)
            self.due = self._loop.time() + self._owner.limits.close_seconds


def _address(writer: asyncio.StreamWriter, name: str) -> tuple[str, int] | None:
    address = writer.get_extra_info(name)
    return (address[0], address[1]) if isinstance(address, tuple) else None
