"""The edge behind the real server, over real connections: what an in-process client cannot get wrong."""

from __future__ import annotations

import json

import anyio
import pytest

from promptforge.http.app import HttpSettings
from promptforge.http.body import BodyLimits
from tests.support.listening import JSON, TOKEN, answer, chunked, ended, listening, request
from tests.unit.http.sample import Parts

pytestmark = pytest.mark.anyio


async def test_a_query_is_answered_and_the_connection_is_used_again() -> None:
    async with listening() as service, await service.connect() as stream:
        for name in ("one", "two"):
            await stream.send(request("GET", f"/api/v1/things/{name}"))
            got = await answer(stream)
            assert got.status == 200
            assert json.loads(got.body)["id"] == name


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    async with listening() as service, await service.connect() as stream:
        await stream.send(request("HEAD", "/api/v1/things/abc") + request("GET", "/api/v1/things/abc"))
        head = await answer(stream, head=True)
        following = await answer(stream)
    assert head.status == following.status == 200
    assert head.headers["content-length"] == following.headers["content-length"]


async def test_a_body_that_announces_too_much_is_refused_and_the_refusal_arrives() -> None:
    async with listening() as service, await service.connect() as stream:
        await stream.send(request("POST", "/api/v1/things", TOKEN, JSON, body=b"x" * 2 * 1024 * 1024))
        got = await answer(stream)
        assert (got.status, got.problem) == (413, "body_too_large")
        assert got.headers["connection"] == "close"
        await ended(stream)
        assert service.things.received == []


async def test_a_chunked_body_is_counted_while_it_is_read() -> None:
    async with listening() as service:
        head = request("POST", "/api/v1/things", TOKEN, JSON, "transfer-encoding: chunked")
        got = await service.exchange(head + chunked(*[b" " * 64 * 1024] * 40) + b"0\r\n\r\n")
        assert (got.status, got.problem) == (413, "body_too_large")


async def test_an_endless_chunked_body_does_not_hold_the_connection_or_the_service() -> None:
    async with listening() as service, await service.connect() as stream:
        await stream.send(request("POST", "/api/v1/things", TOKEN, JSON, "transfer-encoding: chunked"))
        refused = False
        with anyio.fail_after(60):
            try:
                while True:
                    await stream.send(chunked(b" " * 64 * 1024))
            except anyio.BrokenResourceError:
                refused = True
        assert refused
        assert (await service.exchange(request("GET", "/api/v1/things/abc"))).status == 200


@pytest.mark.parametrize(("path", "status"), [("/api/v1/nothing", 404), ("/api/v1/things", 401), ("/health", 405)])
async def test_a_large_body_that_nobody_reads_leaves_the_connection_usable(path: str, status: int) -> None:
    async with listening() as service, await service.connect() as stream:
        with anyio.fail_after(60):
            await stream.send(request("POST", path, JSON, body=b"x" * 8 * 1024 * 1024))
        assert (await answer(stream)).status == status
        await stream.send(request("GET", "/api/v1/things/abc"))
        assert (await answer(stream)).status == 200


async def test_a_body_that_comes_too_slowly_is_given_up() -> None:
    async with listening(BodyLimits(timeout_seconds=0.2)) as service, await service.connect() as stream:
        await stream.send(request("POST", "/api/v1/things", TOKEN, JSON, "content-length: 100") + b'{"title"')
        got = await answer(stream)
        assert (got.status, got.problem) == (408, "body_too_slow")
        await ended(stream)


async def test_a_client_that_leaves_cancels_its_query() -> None:
    async with listening() as service:
        async with await service.connect() as stream:
            await stream.send(request("GET", "/api/v1/things/wait"))
            with anyio.fail_after(60):
                await service.things.waiting.wait()
        with anyio.fail_after(60):
            await service.things.cancelled.wait()


async def test_a_client_that_leaves_does_not_stop_its_command() -> None:
    async with listening() as service:
        async with await service.connect() as stream:
            await stream.send(request("POST", "/api/v1/things/wait", TOKEN))
            with anyio.fail_after(60):
                await service.things.waiting.wait()
        await anyio.sleep(0.2)  # long enough for the disconnect to be noticed
        service.things.go_on.set()
        with anyio.fail_after(60):
            await service.things.written.wait()


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind() -> None:
    async with listening() as service:
        async with await service.connect() as stream:
            await stream.send(request("POST", "/api/v1/things", TOKEN, JSON, "content-length: 100") + b"{")
        assert (await service.exchange(request("GET", "/api/v1/things/abc"))).status == 200
        assert [type(message).__name__ for message in service.things.received] == ["GetThing"]


async def test_a_slow_answer_is_not_disturbed_by_being_watched() -> None:
    async with listening() as service, await service.connect() as stream:
        await stream.send(request("GET", "/api/v1/things/wait"))
        await anyio.sleep(0.15)
        service.things.go_on.set()
        got = await answer(stream)
        assert json.loads(got.body)["id"] == "waited"
        await stream.send(request("GET", "/api/v1/things/abc"))
        assert (await answer(stream)).status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/things/%00", 400),
        ("/api/v1/things/%zz", 400),
        ("/api/v1/things/%", 400),
        ("/api/v1/things/%ff%fe", 400),
        ("/api/v1/things/%ed%a0%80", 400),
        ("/api/v1/things/" + "a" * 5000, 404),
        ("/api/v1/things/" + "a" * 50, 422),
        ("/api/v1/things/", 404),
        ("/api/v1/things/a/", 404),
        ("//api/v1/things/a", 404),
        ("/api/v1/things?limit=%zz", 400),
        ("/api/v1/things?limit=%ff", 400),
        ("/api/v1/things?%00=1", 422),
        ("/api/v1/things?cursor=%00", 422),
        ("/api/v1/things?" + "&".join(f"a{n}=1" for n in range(100)), 400),
        ("http://service/api/v1/things/abc", 200),
        ("/api/v1/things/a%2Fb", 200),
    ],
)
async def test_odd_paths_are_the_callers_fault_and_never_ours(path: str, status: int) -> None:
    async with listening() as service:
        assert (await service.exchange(request("GET", path))).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("authorization: Bearer",), 401),
        (("authorization: \xff\xfe",), 401),
        (("authorization: Bearer a b",), 401),
        (("authorization: Bearer " + "a" * 9000,), 401),
        ((TOKEN, TOKEN), 400),
        (("x-request-id: \xff<script>",), 200),
        (("traceparent: 00-zz",), 200),
        (("content-length: 5, 6",), 400),
        (("cookie: " + "a" * 10000,), 200),
        (("expect: 100-continue",), 200),
    ],
)
async def test_odd_headers_are_the_callers_fault_and_never_ours(headers: tuple[str, ...], status: int) -> None:
    async with listening() as service:
        assert (await service.exchange(request("GET", "/api/v1/things/abc", *headers))).status == status


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff", b'{"title":NaN}', b"[" * 100_000, b'{"a":' * 100_000])
async def test_what_is_not_a_json_object_is_malformed(body: bytes) -> None:
    async with listening() as service:
        got = await service.exchange(request("POST", "/api/v1/things", TOKEN, JSON, body=body))
        assert (got.status, got.problem) == (400, "malformed_request")
        assert service.things.received == []


async def test_an_empty_line_after_a_body_is_ignored_however_it_arrives() -> None:
    following = request("GET", "/api/v1/things/abc")
    async with listening() as service, await service.connect() as stream:
        for _ in range(3):
            await stream.send(request("POST", "/api/v1/things", TOKEN, JSON, body=b'{"title": "a"}') + b"\r\n")
            assert (await answer(stream)).status == 201
            for part in (b"\r", b"\n", following[:1], following[1:]):
                await stream.send(part)
                await anyio.sleep(0.01)
            assert (await answer(stream)).status == 200


async def test_what_follows_an_empty_line_is_one_request_and_no_more() -> None:
    """The line ends nothing and begins nothing: a body that looks like one is still a body."""
    inner = b"\r\n" + request("GET", "/api/v1/things/inner")
    async with listening() as service, await service.connect() as stream:
        await stream.send(b"\r\n" + request("POST", "/api/v1/nothing", JSON, body=inner))
        assert (await answer(stream)).status == 404
        await stream.send(request("GET", "/api/v1/things/outer"))
        assert json.loads((await answer(stream)).body)["id"] == "outer"
        assert len(service.things.received) == 1


SECURITY = (
    "x-content-type-options",
    "cross-origin-resource-policy",
    "content-security-policy",
    "cache-control",
    "strict-transport-security",
)


@pytest.mark.parametrize("https_only", [False, True])
async def test_what_never_became_a_request_is_answered_with_the_headers_of_all_answers(*, https_only: bool) -> None:
    parts = Parts(settings=HttpSettings(version="1", https_only=https_only))
    async with listening(parts=parts) as service:
        usual = await service.exchange(request("GET", "/api/v1/nothing"))
        for refused, status in (
            (b"G@T / HTTP/1.1\r\n\r\n", 400),
            (b"a" * 40_000, 431),
            (b"GET / HTTP/3.0\r\n\r\n", 505),
        ):
            got = await service.exchange(refused)
            assert got.status == status
            assert [got.headers.get(name) for name in SECURITY] == [usual.headers.get(name) for name in SECURITY]
    assert ("strict-transport-security" in usual.headers) is https_only
