"""What goes over the wire, and when: whole small answers at once, heads that nothing follows at once too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import h11
import pytest
from anyio.abc import SocketAttribute, SocketStream
from h11._headers import normalize_and_validate
from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge.core.runtime import System
from promptforge.deploy.connections import Limits
from promptforge.deploy.server import bind, serve
from promptforge.deploy.service import Service
from promptforge.deploy.wire import CLOSE, _judged
from promptforge.http.bells import Bells
from tests.support.listening import request

pytestmark = pytest.mark.anyio

START = {"type": "http.response.start", "status": 200}
LENGTH = (b"content-length", b"5")
BODY = {"type": "http.response.body", "body": b"hello"}
USUAL = [(b"content-type", b"application/json"), LENGTH, (b"etag", b'"abc"'), (b"vary", b"Origin")]


@asynccontextmanager
async def connected(app: ASGIApp, stop: asyncio.Event | None = None) -> AsyncIterator[SocketStream]:
    listener = bind("127.0.0.1", 0)
    stop = stop or asyncio.Event()
    server = asyncio.create_task(serve(app, listener, shutdown=stop.wait, grace_seconds=60, limits=Limits(10)))
    try:
        async with await anyio.connect_tcp("127.0.0.1", listener.getsockname()[1]) as stream:
            with anyio.fail_after(60):
                yield stream
    finally:
        stop.set()
        await server


async def test_a_small_answer_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    original = asyncio.StreamWriter.write

    def write(writer: asyncio.StreamWriter, data: bytes) -> None:
        written.append(bytes(data))
        original(writer, data)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [LENGTH]})
        await send(BODY)

    monkeypatch.setattr(asyncio.StreamWriter, "write", write)
    async with connected(app) as stream:
        await stream.send(request("GET", "/"))
        assert (await stream.receive()).endswith(b"\r\n\r\nhello")
    assert [data.partition(b"\r\n\r\n")[2] for data in written] == [b"hello"]


async def test_a_head_does_not_wait_for_a_body_that_takes_its_time() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [LENGTH]})
        await go_on.wait()
        await send(BODY)

    async with connected(app) as stream:
        await stream.send(request("GET", "/"))
        assert (await stream.receive()).endswith(b"\r\n\r\n")
        go_on.set()
        assert await stream.receive() == b"hello"


async def test_a_head_goes_out_before_its_connection_is_closed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [LENGTH]})

    async with connected(app) as stream:
        await stream.send(request("GET", "/"))
        got = b"".join([data async for data in stream])
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b"\r\n\r\n")


async def test_an_answer_without_a_body_does_not_wait_for_one() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with connected(app) as stream:
        for _ in range(3):
            await stream.send(request("GET", "/"))
            assert (await stream.receive()).startswith(b"HTTP/1.1 204 ")


async def test_an_answer_that_comes_after_the_end_has_begun_says_that_its_connection_closes() -> None:
    """Else its client, whom nobody told, asks for the next thing and hears nothing (RFC 9112, 9.6)."""
    begun, go_on, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await go_on.wait()
        await send({**START, "headers": [LENGTH]})
        await send(BODY)

    async with connected(app, stop) as stream:
        await stream.send(request("GET", "/"))
        await begun.wait()
        stop.set()
        await refused(stream.extra(SocketAttribute.remote_port))
        go_on.set()
        got = b"".join([data async for data in stream])
    assert got.count(b"connection: ") == 1
    assert b"connection: close\r\n" in got
    assert got.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("said", [(), (CLOSE,)], ids=["", "and says so by itself"])
async def test_an_answer_that_comes_after_the_drain_has_begun_says_that_its_connection_closes(
    said: tuple[tuple[bytes, bytes], ...],
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await go_on.wait()
        await send({**START, "headers": [LENGTH, *said]})
        await send(BODY)

    service = Service(System([]), app, "1", bells=Bells())
    async with connected(service.app) as stream:
        await stream.send(request("GET", "/"))
        await begun.wait()
        service.begin_drain()
        go_on.set()
        got = await stream.receive()
    assert got.count(b"connection: ") == 1
    assert b"connection: close\r\n" in got


async def refused(port: int) -> None:
    """Wait until nobody listens there."""
    while True:
        try:
            async with await anyio.connect_tcp("127.0.0.1", port):
                await anyio.sleep(0.01)
        except OSError:
            return


def test_usual_headers_are_judged_as_h11_judges_them() -> None:
    judged = _judged(USUAL)
    assert judged == normalize_and_validate(USUAL)
    assert type(judged) is not list  # else h11 would judge them again


@pytest.mark.parametrize(
    "header",
    [
        (b"location", b"/x\r\nset-cookie: a=b"),
        (b"location", b"/x\nset-cookie: a=b"),
        (b"location", b"/x\0"),
        (b"content-length", b"-1"),
        (b"content-length", b"6"),  # it says 5 already
        (b"transfer-encoding", b"gzip"),
        (b"set-cookie\r\nx", b"a"),
    ],
    ids=repr,
)
def test_what_h11_refuses_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(h11.LocalProtocolError):
        h11.Response(status_code=200, headers=_judged([*USUAL, header]))


def test_unusual_headers_are_left_to_h11() -> None:
    headers = [*USUAL, (b"x-of-our-own", b"1"), (b"link", b"</a>\x0b")]
    assert _judged(headers) is headers
