"""How long and how many connections may be. Where both sides of a limit matter, time passes when the test says so."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from promptforge.deploy import server
from promptforge.deploy.connections import Connections, Limits
from promptforge.deploy.server import MOST_CONNECTIONS, OTHER_FILES, most_connections
from tests.support.listening import JSON, TOKEN, Listening, answer, ended, listening, request

pytestmark = pytest.mark.anyio

LONG = Limits(100, sweep_seconds=0.05)
A_MOMENT = 0.2
"""So long what is under way is given to go on; where it takes longer, a test sees less, and fails no more often."""
THING = request("GET", "/api/v1/things/abc")
PAGE = "/docs/swagger-ui.css"
REPLIES_IN_VAIN = 60
"""Of 180 KiB each: more than the kernel keeps for a client that does not read."""


def pass_seconds(seconds: float) -> None:
    """On the clock of the running loop, at once."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]  # the loop reads its clock there


@asynccontextmanager
async def not_reading(service: Listening) -> AsyncIterator[SocketStream]:
    """A client that asks for much and takes nothing of it, once the server can send no more."""
    stream = await service.connect()
    stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    async with stream:
        await stream.send(request("GET", PAGE) * REPLIES_IN_VAIN)
        await anyio.sleep(A_MOMENT)
        yield stream


async def rest(stream: SocketStream) -> bytes:
    """Everything until the server has closed, or cut, the connection."""
    found = b""
    with anyio.fail_after(60):
        try:
            async for data in stream:
                found += data
        except anyio.BrokenResourceError:
            pass
    return found


async def test_a_head_that_comes_byte_by_byte_is_cut_off_in_time() -> None:
    async with listening(limits=LONG) as service, await service.connect() as stream:
        for byte in THING[:20]:
            await stream.send(bytes([byte]))
            await anyio.sleep(0.01)
        pass_seconds(LONG.head_seconds)
        got = await rest(stream)
        head, _, body = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in head
        assert json.loads(body)["code"] == "head_too_slow"


async def test_the_second_head_on_a_connection_has_no_longer_than_the_first() -> None:
    async with listening(limits=LONG) as service, await service.connect() as stream:
        await stream.send(THING)
        assert (await answer(stream)).status == 200
        pass_seconds(LONG.head_seconds)  # rests: that is another time
        await anyio.sleep(A_MOMENT)
        await stream.send(b"GET /api")
        await anyio.sleep(A_MOMENT)
        pass_seconds(LONG.head_seconds)
        assert (await answer(stream)).status == 408
        await ended(stream)


async def test_who_connects_and_says_nothing_is_let_go_without_a_word() -> None:
    async with listening(limits=replace(LONG, head_seconds=0.3)) as service, await service.connect() as stream:
        assert await rest(stream) == b""


async def test_a_connection_that_rests_is_closed_after_the_keep_alive_time() -> None:
    async with listening(limits=replace(LONG, keep_alive_seconds=0.3)) as service, await service.connect() as stream:
        await stream.send(THING)
        assert (await answer(stream)).status == 200
        assert await rest(stream) == b""


async def test_a_request_under_way_has_no_deadline_of_the_connection() -> None:
    limits = replace(LONG, keep_alive_seconds=LONG.head_seconds, send_seconds=LONG.head_seconds)
    async with listening(limits=limits) as service, await service.connect() as stream:
        await stream.send(request("GET", "/api/v1/things/wait"))
        with anyio.fail_after(60):
            await service.things.waiting.wait()
        pass_seconds(LONG.head_seconds)
        await anyio.sleep(A_MOMENT)
        service.things.go_on.set()
        assert (await answer(stream)).status == 200


async def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Connections] = []

    def kept(*arguments: Any) -> Connections:
        made.append(Connections(*arguments))
        return made[0]

    monkeypatch.setattr(server, "Connections", kept)
    limits = replace(LONG, send_seconds=0.3, send_bytes_a_second=2**20)
    async with listening(limits=limits) as service, not_reading(service) as stream:
        with anyio.fail_after(60):
            while len(made[0]):
                await anyio.sleep(0.01)
        got = await rest(stream)
        assert 0 < got.count(b"HTTP/1.1 200") < REPLIES_IN_VAIN
        assert (await service.exchange(THING)).status == 200


async def test_a_client_that_reads_late_but_in_time_gets_everything() -> None:
    async with listening(limits=LONG) as service, not_reading(service) as stream:
        await stream.send(request("GET", PAGE, "connection: close"))
        assert (await rest(stream)).count(b"HTTP/1.1 200") == REPLIES_IN_VAIN + 1


async def test_a_client_that_does_not_read_does_not_keep_the_service_from_stopping() -> None:
    with anyio.fail_after(60):
        async with listening(limits=replace(LONG, close_seconds=0.3), grace_seconds=0.3) as service:
            blocked = not_reading(service)
            await blocked.__aenter__()
    await blocked.__aexit__(None, None, None)


async def test_a_stop_ends_connections_that_rest_or_are_in_a_head_at_once() -> None:
    async with listening(limits=LONG, grace_seconds=60) as service:
        resting, in_head = await service.connect(), await service.connect()
        await resting.send(THING)
        await answer(resting)
        await in_head.send(b"GET /")
        await anyio.sleep(0.1)
        ending = anyio.current_time()
    assert anyio.current_time() - ending < 30
    for stream in (resting, in_head):
        await stream.aclose()


async def test_what_was_pipelined_behind_the_last_request_does_not_hold_up_a_stop() -> None:
    async with listening(limits=LONG, grace_seconds=60) as service:
        stream = await service.connect()
        await stream.send(request("GET", "/api/v1/things/wait") + THING)
        with anyio.fail_after(60):
            await service.things.waiting.wait()

        async def go_on() -> None:
            await anyio.sleep(0.3)  # the stop has begun by then
            service.things.go_on.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go_on)
            ending = anyio.current_time()
            service.stop.set()
            assert (await rest(stream)).count(b"HTTP/1.1 200") == 1
    assert anyio.current_time() - ending < 30
    await stream.aclose()


async def test_where_there_are_too_many_the_longest_at_rest_makes_room() -> None:
    async with listening(limits=replace(LONG, most=2)) as service:
        first, second = await service.connect(), await service.connect()
        for stream in (first, second):
            await stream.send(THING)
            assert (await answer(stream)).status == 200
        third = await service.connect()
        await third.send(THING)
        assert (await answer(third)).status == 200
        await ended(first)
        await second.send(THING)
        assert (await answer(second)).status == 200
        for stream in (first, second, third):
            await stream.aclose()


async def test_where_all_are_busy_one_more_is_refused_and_told_so() -> None:
    async with listening(limits=replace(LONG, most=1)) as service, await service.connect() as busy:
        await busy.send(request("GET", "/api/v1/things/wait"))
        with anyio.fail_after(60):
            await service.things.waiting.wait()
        async with await service.connect() as stream:
            got = await answer(stream)
            assert (got.status, got.problem) == (503, "overloaded")
            await ended(stream)
        service.things.go_on.set()
        assert (await answer(busy)).status == 200


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    async with listening(limits=LONG) as service, await service.connect() as stream:
        await stream.send(b"GET / HTTP/1.1\r\nx: " + b"a" * 1_000_000)
        got = await answer(stream)
        assert (got.status, got.problem) == (431, "head_too_large")
        await ended(stream)


async def test_a_refused_client_that_goes_on_sending_is_cut_off() -> None:
    async with listening(limits=replace(LONG, close_seconds=0.3)) as service, await service.connect() as stream:
        cut_off = False
        with anyio.fail_after(60):
            while not cut_off:
                try:
                    await stream.send(b"a" * 65536)
                    await anyio.sleep(0.01)
                except anyio.BrokenResourceError:
                    cut_off = True


async def test_a_body_that_nobody_invited_does_not_become_a_request() -> None:
    async with listening(limits=LONG) as service, await service.connect() as stream:
        headers = (JSON, "expect: 100-continue", f"content-length: {len(THING)}")
        await stream.send(request("POST", "/api/v1/things", *headers))
        assert (await answer(stream)).status == 401
        await stream.send(THING)
        assert await rest(stream) == b""
        assert service.things.received == []


async def test_an_invited_body_is_read() -> None:
    async with listening(limits=LONG) as service, await service.connect() as stream:
        body = b'{"title": "A thing"}'
        headers = (TOKEN, JSON, "expect: 100-continue", f"content-length: {len(body)}")
        await stream.send(request("POST", "/api/v1/things", *headers))
        with anyio.fail_after(60):
            assert (await stream.receive()).startswith(b"HTTP/1.1 100 ")
        await stream.send(body)
        assert (await answer(stream)).status == 201


def test_the_process_takes_as_many_connections_as_its_open_files_allow() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, before[1]))
        most = most_connections()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert hard == before[1]
    assert soft > 600 or hard <= 600
    assert most <= min(MOST_CONNECTIONS, max(soft - OTHER_FILES, soft // 2))
