"""Requests to addresses that users name, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from promptforge.core.egress import Answer, Outward, Problem, UrlPolicy
from tests.support.certificates import certificate
from tests.support.receiver import Behaviour, Receiver, answering, dripping, endless, hanging, huge_head, receiving

pytestmark = pytest.mark.anyio

NAME = "receiver.example"


class Resolver:
    """Answers one list after another, and then the last again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def local() -> Outward:
    return Outward(UrlPolicy(frozenset({"127.0.0.1"})))


async def post(outward: Outward, url: str, *, seconds: float = 5.0) -> Answer:
    try:
        return await outward.post(url, {"content-type": "application/json"}, b'{"a":1}', timeout_seconds=seconds)
    finally:
        await outward.close()


async def test_the_connection_goes_to_the_address_and_everything_else_keeps_the_name(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, NAME)
    shown: list[str | None] = []
    server.sni_callback = lambda _, name, __: shown.append(name)
    resolver = Resolver(["127.0.0.1"])
    async with receiving(tls=server) as receiver:
        outward = Outward(UrlPolicy(frozenset({NAME})), resolve=resolver, ssl_context=client)
        answer = await post(outward, f"https://{NAME}:{receiver.port}/hook?x=1")
        assert (answer.status, answer.problem) == (200, None)
        (received,) = receiver.received
        assert (received.method, received.path, received.body) == ("POST", "/hook?x=1", b'{"a":1}')
        assert received.headers["host"] == f"{NAME}:{receiver.port}"
        assert (shown, resolver.asked) == ([NAME], [NAME])
        stranger = Outward(UrlPolicy(frozenset({"other.example"})), resolve=resolver, ssl_context=client)
        answer = await post(stranger, f"https://other.example:{receiver.port}/")
        assert answer.problem is Problem.TLS, "the certificate is another name's"
        assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["fe80::1%lo"],
        [],
    ],
)
async def test_a_name_of_an_inner_address_is_not_connected_to(addresses: list[str]) -> None:
    async with receiving() as receiver:
        answer = await post(Outward(UrlPolicy(), resolve=Resolver(addresses)), f"https://{NAME}:{receiver.port}/")
        assert (answer.status, answer.problem) == (None, Problem.ADDRESS_REFUSED)
        assert receiver.connections == 0


async def test_a_name_is_resolved_once_so_that_it_cannot_answer_differently_the_second_time() -> None:
    """Rebinding: public when it is judged, inner when it is connected to. There is no second time."""
    async with receiving() as receiver:
        resolver = Resolver(["192.0.2.1"], ["127.0.0.1"])  # the first is refused as well, but by its own address
        await post(Outward(UrlPolicy(), resolve=resolver), f"https://{NAME}:{receiver.port}/")
        assert resolver.asked == [NAME]
        trusted = Resolver(["127.0.0.1"], ["192.0.2.1"])
        outward = Outward(UrlPolicy(frozenset({NAME})), resolve=trusted)
        assert (await post(outward, f"http://{NAME}:{receiver.port}/")).status == 200
        assert trusted.asked == [NAME]
        assert receiver.connections == 1


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as inner:
        async with receiving(answering(302, headers=f"location: {inner.url}\r\n")) as receiver:
            answer = await post(local(), receiver.url)
        assert (answer.status, answer.ok, inner.connections) == (302, False, 0)


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        assert (await post(local(), receiver.url)).status == 200
        assert proxy.connections == 0


@pytest.mark.parametrize("behaviour", [hanging, dripping])
async def test_who_does_not_answer_is_waited_for_so_long_and_no_longer(behaviour: Behaviour) -> None:
    async with receiving(behaviour) as receiver:
        with anyio.fail_after(60):
            answer = await post(local(), receiver.url, seconds=0.3)
        assert (answer.status, answer.problem) == (None, Problem.TIMEOUT)


async def test_of_a_body_of_gigabytes_little_is_read() -> None:
    async with receiving(endless) as receiver:
        with anyio.fail_after(60):
            answer = await post(local(), receiver.url)
        assert answer.status == 200
        assert receiver.bytes_sent < 50_000_000, "what the sockets' buffers took"


@pytest.mark.parametrize("status", [200, 410])
async def test_a_head_that_comes_late_counts_though_its_body_never_ends(status: int) -> None:
    async def late(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(f"HTTP/1.1 {status} Whatever\r\nretry-after: 7\r\ncontent-length: 100\r\n\r\n".encode())
        await hanging(receiver, writer)

    async with receiving(late) as receiver:
        answer = await post(local(), receiver.url, seconds=0.9)
        for _ in range(4):  # again, where the machine stood still just then
            if answer.problem is None:
                break
            answer = await post(local(), receiver.url, seconds=0.9)
    assert (answer.status, answer.problem, answer.retry_after_seconds) == (status, None, 7.0)


async def test_a_head_of_megabytes_is_no_answer() -> None:
    async with receiving(huge_head) as receiver:
        answer = await post(local(), receiver.url)
        assert (answer.status, answer.problem) == (None, Problem.BROKEN)


async def test_each_way_to_fail_has_its_name() -> None:
    async with receiving() as receiver:
        gone = receiver.url
    assert (await post(local(), gone)).problem is Problem.NOT_CONNECTED
    nowhere = Outward(UrlPolicy(frozenset({"nowhere.invalid"})))
    assert (await post(nowhere, "http://nowhere.invalid/")).problem is Problem.NAME_UNKNOWN


@pytest.mark.parametrize(("header", "seconds"), [("120", 120.0), ("soon", None), ("-5", None), ("9" * 30, None)])
async def test_when_to_come_back_is_read_where_it_can_be(header: str, seconds: float | None) -> None:
    async with receiving(answering(503, headers=f"retry-after: {header}\r\n")) as receiver:
        answer = await post(local(), receiver.url)
    assert (answer.status, answer.retry_after_seconds) == (503, seconds)
