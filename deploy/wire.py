"""HTTP/1.1 as this service speaks it: Hypercorn's, without what no client of an API needs.

No HTTP/2 in clear text and no websockets: an Upgrade is ignored, as RFC 9110 (7.8) allows. Whatever two readers of one
request could understand differently (RFC 9112, 11.2) is refused, and so is a head that is too large; a refusal is a
problem document, and the connection ends with it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any

import h11
from h11._headers import Headers
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Request, Response
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import ConnectionState, TaskGroup, WorkerContext
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from promptforge.http.problems import Problem
from promptforge.http.refusals import Refusals

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 128
CHUNK_COSTS_BYTES = 64
"""What a chunk costs beside its bytes, in bytes: reading a thousand chunks of one byte takes 11 ms."""
FREE_FRAMING_BYTES = 16 * 1024
CLOSE = (b"connection", b"close")
MAX_EMPTY_LINES = 2
"""Before a request line: some clients end a body with one (RFC 9112, 2.2)."""

_HEAD_END = re.compile(rb"\n\r?\n")
_UNUSUAL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_KNOWN = {
    name: name
    for name in (
        *(b"access-control-allow-credentials", b"access-control-allow-origin", b"access-control-expose-headers"),
        *(b"cache-control", b"content-encoding", b"content-length", b"content-security-policy", b"content-type"),
        *(b"date", b"etag", b"idempotency-replayed", b"link", b"location", b"ratelimit", b"ratelimit-policy"),
        *(
            b"cross-origin-resource-policy",
            b"retry-after",
            b"strict-transport-security",
            b"vary",
            b"www-authenticate",
            b"x-content-type-options",
            b"x-request-id",
        ),
    )
}
"""Headers of which only the values have to be looked at."""


class _Reader(h11.Connection):
    """Judges a head before it is parsed: parsing thousands of headers would hold up everybody else."""

    they_are_waiting_for_100_continue = False
    """Hypercorn would invite every body at once; here it is invited when somebody wants to read it."""

    over = False
    _content = 0
    _framing = 0
    _empty_lines = 0

    def next_event(self) -> Any:  # Any: h11's own union of events and sentinels
        if self.over:
            return h11.NEED_DATA
        if self.their_state is h11.SEND_BODY:
            return self._next_of_body()
        if self.their_state is h11.IDLE:
            self._content = self._framing = 0
            buffered = self._without_empty_lines()
            if buffered == b"\r":
                return h11.NEED_DATA
            if buffered:
                _judge_head(buffered)
        event = super().next_event()
        if type(event) is h11.Request:
            self._empty_lines = 0
        return event

    def _without_empty_lines(self) -> bytes:
        """What is there of a head. Nothing is skipped but CRLF, and only between messages."""
        buffered, _ = self.trailing_data
        while buffered.startswith(b"\r\n") and self._empty_lines < MAX_EMPTY_LINES:
            self._receive_buffer.maybe_extract_at_most(2)
            self._empty_lines += 1
            buffered, _ = self.trailing_data
        return buffered

    def _next_of_body(self) -> Any:  # Any: as above
        """Refuse a body whose chunks, with their extensions (RFC 9112, 7.1.1), cost more than they carry."""
        before = len(self._receive_buffer)
        event = super().next_event()
        framing = before - len(self._receive_buffer)
        if type(event) is h11.Data:
            framing -= len(event.data)
            self._content += len(event.data)
            framing += CHUNK_COSTS_BYTES * event.chunk_start
        self._framing += framing
        if self._framing > max(self._content, FREE_FRAMING_BYTES):
            raise h11.RemoteProtocolError("chunks that are not worth their framing")
        return event


def _judge_head(buffered: bytes) -> None:
    end = _HEAD_END.search(buffered)
    length = end.end() if end else len(buffered)
    lines = buffered.count(b"\n", 0, length)
    if length > MAX_HEAD_BYTES or lines > MAX_HEADERS + 2:
        raise h11.RemoteProtocolError("the head is too large", error_status_hint=431)
    # Others may see other headers there (RFC 9112, 2.2 and 5.2). An expression for it would cost ten times as much.
    if lines != buffered.count(b"\r\n", 0, length):
        raise h11.RemoteProtocolError("a bare line feed")
    if buffered.find(b"\n ", 0, length) >= 0 or buffered.find(b"\n\t", 0, length) >= 0:
        raise h11.RemoteProtocolError("a folded line")


def _judge_request(request: h11.Request) -> None:
    if not request.http_version.startswith(b"1."):
        raise h11.RemoteProtocolError("another protocol", error_status_hint=505)
    names = [name for name, _ in request.headers]
    if b"transfer-encoding" in names and (b"content-length" in names or request.http_version == b"1.0"):
        raise h11.RemoteProtocolError("the length of the body is ambiguous")


def _judged(headers: list[tuple[bytes, bytes]]) -> Headers | list[tuple[bytes, bytes]]:
    """What h11 would make of an answer's headers, at a quarter of the cost; what is unusual is left for it to judge."""
    items = [(name, known, value) for name, value in headers if (known := _KNOWN.get(name)) is not None]
    lengths = [value for name, _, value in items if name == b"content-length"]
    if len(items) < len(headers) or len(lengths) > 1 or not all(length.isdigit() for length in lengths):
        return headers
    return headers if _UNUSUAL.search(b" ".join([value for _, _, value in items])) else Headers(items)


class Wire(H11Protocol):
    """The protocol of one connection. After `end` nothing is understood any more; `refused`: it ends with a refusal.

    The head of an answer is sent together with what follows it in the same turn of the loop, or else (an event stream
    that has nothing to tell yet) by `push` in the next one.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: Config,
        context: WorkerContext,
        tasks: TaskGroup,
        *,
        client: tuple[str, int] | None,
        server: tuple[str, int] | None,
        send: Callable[[Event], Awaitable[None]],
        push: Callable[[bytes], None],
        refusals: Refusals,
    ) -> None:
        run: Any = self._run  # Hypercorn has its own names for the ASGI types
        super().__init__(run, config, context, tasks, ConnectionState({}), False, client, server, send)
        self._application = app
        self._reader = _Reader(h11.SERVER, max_incomplete_event_size=config.h11_max_incomplete_size)
        self.connection = self._reader
        self.refused = False
        self._without_body = False  # what is answered to HEAD
        self._push = push
        self._refusals = refusals
        self._head = b""
        self._loop = asyncio.get_running_loop()

    @property
    def in_head(self) -> bool:
        """Whether part of a request's head has come, and no more."""
        return self._reader.their_state is h11.IDLE and bool(self._reader.trailing_data[0])

    def end(self) -> None:
        self._reader.over = True

    async def refuse(self, problem: Problem) -> None:
        """Answer instead of the application, where nothing was answered yet, and close."""
        if self._reader.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.refused = True
            headers = list(chain(problem.headers, self.config.response_headers("h11")))
            await self._send_h11_event(h11.Response(headers=headers, status_code=problem.status))
            if not self._without_body:
                await self._send_h11_event(h11.Data(data=problem.body))
            await self._send_h11_event(h11.EndOfMessage())
        await self.send(Closed())

    async def handle(self, event: Event) -> None:
        try:
            await super().handle(event)
        except h11.RemoteProtocolError as error:  # from `_check_protocol`; Hypercorn sees to those of h11
            await self._send_error_response(error.error_status_hint)
            await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        if not isinstance(event, Response):
            await super().stream_send(event)
            return
        headers = [*event.headers, *self.config.response_headers("h11")]
        uninvited = self._reader.client_is_waiting_for_100_continue  # the body may come all the same, or not
        closes = uninvited or self.keep_alive_requests >= self.config.keep_alive_max_requests
        closes = closes or self.context.terminated.is_set()  # after which the connection is not used again
        if closes and CLOSE not in headers:
            headers.append(CLOSE)
        await self._send_h11_event(h11.Response(headers=_judged(headers), status_code=event.status_code))

    async def _send_h11_event(self, event: Any) -> None:  # Any: h11's own union of events
        try:
            data = self._reader.send(event)
        except h11.LocalProtocolError:
            if self._reader.their_state is not h11.ERROR:
                raise
            return
        if type(event) is h11.Response:
            self._head = data
            self._loop.call_soon(self.let_head_go)
        elif self._head or data:
            data, self._head = self._head + data, b""
            await self.send(RawData(data))

    def let_head_go(self) -> None:
        """Send the head alone, if it has not been sent by now."""
        if self._head:
            head, self._head = self._head, b""
            self._push(head)

    async def _run(self, scope: Scope, receive: Receive, send: Send, *_: object) -> None:
        if self._reader.client_is_waiting_for_100_continue:
            await self._application(scope, self._inviting(receive), send)
        else:
            await self._application(scope, receive, send)

    def _inviting(self, receive: Receive) -> Receive:
        async def receive_invited() -> Message:
            if self._reader.client_is_waiting_for_100_continue:
                await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))
            return await receive()

        return receive_invited

    async def _check_protocol(self, event: h11.Request) -> None:
        self._without_body = event.method == b"HEAD"
        _judge_request(event)

    async def _create_stream(self, request: h11.Request) -> None:
        """As Hypercorn's, for HTTP only."""
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii"),  # which is case-sensitive (RFC 9110, 9.1)
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1

    async def _send_error_response(self, status_code: int) -> None:
        await self.refuse(self._refusals.make(status_code, client=self.client))
