"""Noticing that a client has gone while its answer is being made.

Only requests that take longer than a moment are watched: until then they cost an entry in a dictionary, and no task. A
watched one has a task that listens for the disconnect and cancels the request; what that cancels and what it lets
finish is the runtime's business (docs/actors.md).
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from promptforge.http.exchange import Exchange

PATIENCE_SECONDS = 0.05


class Watch:
    """One request under way; `gone` once its client has left and its task was cancelled for that."""

    __slots__ = ("_listener", "exchange", "gone", "receive", "since", "task")

    def __init__(self, exchange: Exchange, receive: Receive, task: asyncio.Task[object] | None, since: float) -> None:
        self.exchange = exchange
        self.receive = receive
        self.task = task
        self.since = since
        self.gone = False
        self._listener: asyncio.Task[None] | None = None

    def listen(self) -> None:
        self._listener = asyncio.create_task(self._listen())

    def end(self) -> None:
        if self._listener is not None:
            self._listener.cancel()

    async def _listen(self) -> None:
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                break
            if not message.get("more_body", False):  # a body on a request that has no use for one
                self.exchange.body_pending = False
        self.exchange.body_pending = False
        self.gone = True
        if self.task is not None:
            self.task.cancel()


class Disconnects:
    """The watches of one process, oldest first, and one timer for all of them."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience = patience_seconds
        self._waiting: dict[Watch, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, exchange: Exchange, receive: Receive) -> Watch:
        """Begin; call from the request's own task, whose next await may then be cancelled. End with `leave`."""
        loop = asyncio.get_running_loop()
        watch = Watch(exchange, receive, asyncio.current_task(loop), loop.time())
        self._waiting[watch] = None
        if self._loop is not loop:  # no timer is set, or it belongs to a loop that is gone
            self._loop = loop
            loop.call_later(self._patience, self._sweep, loop)
        return watch

    def leave(self, watch: Watch) -> None:
        """The request has its answer, or an error."""
        if self._waiting.pop(watch, self) is self:  # it was taken out by the sweep, so somebody listens
            watch.end()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() - self._patience
        for watch in list(self._waiting):
            if watch.since > due:
                loop.call_at(watch.since + self._patience, self._sweep, loop)
                return
            del self._waiting[watch]
            watch.listen()
        self._loop = None
