"""What strangers can do to the webhook, where only the body itself tells who sent it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

import anyio
import pytest
import stripe
from anyio.abc import SocketStream
from starlette.types import Receive

from promptforge.http import webhooks
from promptforge.http.app import HttpSettings
from promptforge.http.body import BodyLimits
from promptforge.http.exchange import Exchange
from promptforge.http.intake import MOST_BYTES, MOST_BYTES_OF_ONE, Intake
from promptforge.http.webhooks import WebhookSecrets
from tests.support.listening import JSON, TOKEN, Listening, answer, chunked, ended, listening, request
from tests.unit.http.sample import Parts
from tests.unit.http.test_webhooks import EVENT, NEW, PATH, Recorder

pytestmark = pytest.mark.anyio

ALLOWED = 3


class Seen(Intake):
    """Says how many bodies were begun, and how many of them are over, and how much of the others is held."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(most_bytes=most_bytes)
        self.ended = 0

    async def read(self, exchange: Exchange, receive: Receive, limits: BodyLimits) -> bytes:
        try:
            return await super().read(exchange, receive, limits)
        finally:
            self.ended += 1

    async def holds(self, size: int) -> None:
        """Wait until that much is held."""
        await until(lambda: self._held_bytes >= size)


async def until(look: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not look():
            await anyio.sleep(0.01)


@pytest.fixture
def intake(monkeypatch: pytest.MonkeyPatch) -> Seen:
    intake = Seen()
    monkeypatch.setattr(webhooks, "Intake", lambda: intake)
    return intake


def parts(recorder: Recorder) -> Parts:
    settings = HttpSettings(
        version="1", webhook_secrets=WebhookSecrets((NEW,)), rate_limits=(f"webhook={ALLOWED}/minute",)
    )
    return Parts(settings=settings, actors=[recorder])


def genuine(padding: int = 0) -> bytes:
    body = json.dumps({**EVENT, "padding": "x" * padding})
    header = stripe.WebhookSignature.generate_signature_header(body, NEW, int(time.time()))
    return request("POST", PATH, f"stripe-signature: {header}", body=body.encode())


def unsigned() -> str:
    """Of now: what is old is refused before its body is read."""
    return f"stripe-signature: t={int(time.time())},v1={'0' * 64}"


def forged(length: int) -> bytes:
    return request("POST", PATH, unsigned(), f"content-length: {length}")


async def begun(service: Listening, size: int) -> SocketStream:
    """A body that is all but there."""
    stream = await service.connect()
    await stream.send(forged(size + 1) + b"x" * size)
    return stream


async def used_up(service: Listening) -> bool:
    return (await service.exchange(forged(1) + b"x")).status == 429


async def until_used_up(service: Listening, *, at_most: int) -> None:
    """It takes no more than so many forged events."""
    for _ in range(at_most):
        if await used_up(service):
            return
    assert await used_up(service)


@pytest.mark.parametrize("how", ["abandoned", "too slow", "too large", "without a signature", "old"])
async def test_whatever_is_not_genuine_counts(how: str, monkeypatch: pytest.MonkeyPatch, intake: Seen) -> None:
    if how == "too slow":
        monkeypatch.setattr(webhooks, "LIMITS", BodyLimits(timeout_seconds=0.05))
    async with listening(parts=parts(Recorder())) as service:
        for _ in range(ALLOWED):
            if how == "abandoned":
                await (await begun(service, 1000)).aclose()
            elif how == "too slow":
                async with await begun(service, 1000) as stream:
                    assert (await answer(stream)).status == 408
            elif how == "too large":
                assert (await service.exchange(forged(600 * 1024))).status == 413
            elif how == "old":
                assert (await service.exchange(request("POST", PATH, "stripe-signature: t=5,v1=0"))).status == 400
            else:
                assert (await service.exchange(request("POST", PATH))).status == 400
        if how == "abandoned":
            await until(lambda: intake.ended == ALLOWED)
        assert await used_up(service)


async def test_genuine_events_pass_where_a_stranger_at_their_address_has_used_up_the_budget() -> None:
    recorder = Recorder()
    async with listening(parts=parts(recorder)) as service:
        await until_used_up(service, at_most=ALLOWED)
        assert (await service.exchange(genuine(60 * 1024))).status == 200
        refused = await service.exchange(genuine(100 * 1024))  # who is suspect is not listened to for so long
        assert (refused.status, refused.problem) == (429, "rate_limited")
    assert len(recorder.received) == 1


async def test_what_strangers_send_is_held_within_bounds_and_keeps_no_genuine_event_out(intake: Seen) -> None:
    recorder = Recorder()
    size = 500 * 1024
    fit = MOST_BYTES_OF_ONE // size

    def has_ended(number: int) -> bool:
        return intake.ended >= number

    async with listening(parts=parts(recorder)) as service:
        streams = []
        for number in range(1, fit + 3):
            streams.append(await begun(service, size))
            await intake.holds(min(number, fit) * size)
            await until(partial(has_ended, number - fit))
        assert [(await answer(stream)).status for stream in streams[:2]] == [429, 429]
        assert (await service.exchange(genuine(60 * 1024))).status == 200
        for stream in streams[2:]:
            with pytest.raises(TimeoutError), anyio.fail_after(0.02):
                await stream.receive()
        for stream in streams:
            await stream.aclose()
    assert len(recorder.received) == 1


async def test_beyond_the_bound_for_all_the_longest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    intake = Seen(most_bytes=2500)
    monkeypatch.setattr(webhooks, "Intake", lambda: intake)
    async with listening(parts=parts(Recorder())) as service:
        streams = []
        for number in (1, 2, 3):
            streams.append(await begun(service, 1000))
            await intake.holds(min(number, 2) * 1000)
        got = await answer(streams[0])
        assert (got.status, got.problem, got.headers["retry-after"]) == (503, "overloaded", "1")
        for stream in streams:
            await stream.aclose()


@pytest.mark.parametrize("path", ["/api/v1/things", PATH, "/api/v1/nothing"])
@pytest.mark.parametrize("extension", [b"", b";" + b"x" * 4000], ids=["one byte each", "long extensions"])
async def test_a_body_in_chunks_that_are_not_worth_their_framing_is_refused(path: str, extension: bytes) -> None:
    header = unsigned() if path == PATH else TOKEN
    chunk = chunked(b" " * (1 if not extension else 500)).replace(b"\r\n", extension + b"\r\n", 1)
    async with listening(parts=parts(Recorder())) as service, await service.connect() as stream:
        await stream.send(request("POST", path, header, JSON, "transfer-encoding: chunked"))
        await stream.send(chunk * (2000 if not extension else 30))
        got = await answer(stream)
        if path != "/api/v1/nothing":  # who is told at once that nothing is there may have heard that
            assert (got.status, got.problem) == (400, "malformed_request")
        await ended(stream)


async def test_small_chunks_are_taken_where_they_are_few_or_large_enough() -> None:
    body = b'{"title": "Vase", "notes": {"n": "' + b"x" * 200_000 + b'"}}'
    head = request("POST", "/api/v1/things", TOKEN, JSON, "transfer-encoding: chunked")
    async with listening() as service:
        for size in (100, 4096):
            pieces = [body[at : at + size] for at in range(0, len(body), size)]
            assert (await service.exchange(head + chunked(*pieces) + b"0\r\n\r\n")).status == 201
        few = [bytes([byte]) for byte in b'{"title": "Vase", "notes": {"n": "few of them are welcome"}}']
        assert (await service.exchange(head + chunked(*few) + b"0\r\n\r\n")).status == 201
