"""What goes over the wire, and when: whole small answers at once, heads that nothing follows at once too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import h11
import pytest
from anyio.abc import SocketStream
from h11._headers import normalize_and_validate
from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge.deploy.connections import Limits
from promptforge.deploy.server import bind, serve
from promptforge.deploy.wire import _judged
from tests.support.listening import request

pytestmark = pytest.mark.anyio

START = {"type": "http.response.start", "status": 200}
LENGTH = (b"content-length", b"5")
BODY = {"type": "http.response.body", "body": b"hello"}
USUAL = [(b"content-type", b"application/json"), LENGTH, (b"etag", b'"abc"'), (b"vary", b"Origin")]


@asynccontextmanager
async def connected(app: ASGIApp) -> AsyncIterator[SocketStream]:
    listener = bind("127.0.0.1", 0)
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, listener, shutdown=stop.wait, grace_seconds=1, limits=Limits(10)))
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
