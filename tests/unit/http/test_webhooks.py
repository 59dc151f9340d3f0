from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import stripe

from promptforge.actors.billing.messages import RecordedEvent, RecordStripeEvent
from promptforge.core.context import Context
from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.runtime import Actor, handles
from promptforge.http.app import HttpSettings
from promptforge.http.webhooks import WebhookSecrets
from tests.unit.http.sample import Parts, serving

pytestmark = pytest.mark.anyio

OLD, NEW, CONNECT = "whsec_old", "whsec_new", "whsec_connect"
PATH = "/api/v1/webhooks/stripe"
EVENT: dict[str, Any] = {  # Any: JSON
    "id": "evt_1",
    "object": "event",
    "type": "checkout.session.completed",
    "api_version": "2026-10-28.endive",
    "livemode": False,
    "created": 1_800_000_000,
    "data": {"object": {"id": "cs_1", "object": "checkout.session"}},
}


class Recorder(Actor):
    """Keeps the events that were recorded."""

    name = "billing"

    def __init__(self) -> None:
        self.received: list[RecordStripeEvent] = []
        self.error: Exception | None = None

    @handles(RecordStripeEvent)
    async def record(self, message: RecordStripeEvent, context: Context) -> RecordedEvent:
        if self.error is not None:
            raise self.error
        duplicate = message.event_id in [seen.event_id for seen in self.received]
        self.received.append(message)
        return RecordedEvent(duplicate=duplicate)


@asynccontextmanager
async def recording(
    *secrets: str, connect: tuple[str, ...] = (CONNECT,)
) -> AsyncIterator[tuple[httpx.AsyncClient, Recorder]]:
    recorder = Recorder()
    settings = HttpSettings(version="1", webhook_secrets=WebhookSecrets(secrets, connect))
    async with serving(Parts(settings=settings, actors=[recorder])) as service:
        yield service.client, recorder


def signed(body: str, secret: str = NEW, *, seconds_from_now: int = 0) -> dict[str, str]:
    timestamp = int(time.time()) + seconds_from_now
    header = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp)
    return {"stripe-signature": header}


async def send(client: httpx.AsyncClient, event: object, **how: Any) -> httpx.Response:  # Any: see `signed`
    body = json.dumps(event)
    return await client.post(PATH, content=body.encode(), headers=signed(body, **how))


@pytest.mark.parametrize("path", [PATH, "/webhooks/stripe"])
async def test_a_genuine_event_is_recorded_as_it_was_signed(path: str) -> None:
    body = json.dumps({**EVENT, "account": "acct_1"}, indent=2)
    async with recording(NEW) as (client, recorder):
        response = await client.post(path, content=body.encode(), headers=signed(body, CONNECT))
    assert (response.status_code, response.json()) == (200, {"received": True})
    assert recorder.received == [
        RecordStripeEvent(
            event_id="evt_1",
            type="checkout.session.completed",
            api_version="2026-10-28.endive",
            livemode=False,
            account="acct_1",
            created=1_800_000_000,
            payload={**EVENT, "account": "acct_1"},
            size=len(body),
        )
    ]


async def test_the_same_event_again_is_200_too() -> None:
    async with recording(NEW) as (client, _):
        assert [(await send(client, EVENT)).status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("secret", [OLD, NEW])
async def test_any_of_the_secrets_may_have_signed(secret: str) -> None:
    async with recording(OLD, NEW) as (client, recorder):
        assert (await send(client, EVENT, secret=secret)).status_code == 200
    assert len(recorder.received) == 1


@pytest.mark.parametrize(("secret", "account"), [(NEW, "acct_1"), (CONNECT, None)])
async def test_a_secret_signs_only_events_of_its_scope(secret: str, account: str | None) -> None:
    async with recording(OLD, NEW) as (client, recorder):
        response = await send(client, {**EVENT, "account": account}, secret=secret)
    assert (response.status_code, response.json()["code"]) == (400, "bad_signature")
    assert recorder.received == []


def test_secrets_do_not_show() -> None:
    assert "whsec" not in repr(WebhookSecrets((NEW,), (CONNECT,)))


@pytest.mark.parametrize("seconds", [-3600, -310, 310, 3600, 10**9])
async def test_a_signature_from_too_far_away_in_time_is_refused_in_both_directions(seconds: int) -> None:
    async with recording(NEW) as (client, recorder):
        response = await send(client, EVENT, seconds_from_now=seconds)
    assert (response.status_code, response.json()["code"]) == (400, "bad_signature")
    assert recorder.received == []


@pytest.mark.parametrize("seconds", [-290, 290])
async def test_a_clock_that_is_a_little_wrong_does_not_matter(seconds: int) -> None:
    async with recording(NEW) as (client, _):
        assert (await send(client, EVENT, seconds_from_now=seconds)).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"t=1",
        b"v1=abc",
        b"t=,v1=",
        b"t=x,v1=abc",
        b"garbage",
        b"=,=,=",
        b"t=1,v1=\xc3\xa9",
        b"t=" + b"9" * 5000 + b",v1=abc",
    ],
)
async def test_a_signature_that_is_none_is_refused(header: bytes | None) -> None:
    async with recording(NEW) as (client, recorder):
        headers = [] if header is None else [(b"stripe-signature", header)]
        response = await client.post(PATH, content=json.dumps(EVENT).encode(), headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "bad_signature")
    assert recorder.received == []


async def test_a_good_signature_in_an_odd_header_is_no_error_of_ours() -> None:
    body = json.dumps(EVENT)
    header = signed(body)["stripe-signature"].replace(",", "=odd,", 1)
    async with recording(NEW) as (client, _):
        response = await client.post(PATH, content=body.encode(), headers={"stripe-signature": header})
    assert response.status_code in {200, 400}


async def test_a_body_that_was_changed_or_signed_by_another_is_refused() -> None:
    body = json.dumps(EVENT)
    async with recording(NEW) as (client, recorder):
        changed = await client.post(PATH, content=body.encode() + b" ", headers=signed(body))
        foreign = await client.post(PATH, content=body.encode(), headers=signed(body, OLD))
    assert (changed.status_code, foreign.status_code) == (400, 400)
    assert recorder.received == []


async def test_a_body_that_is_no_text_is_refused() -> None:
    async with recording(NEW) as (client, recorder):
        response = await client.post(PATH, content=b"\xff\xfe", headers=signed("x"))
    assert (response.status_code, recorder.received) == (400, [])


@pytest.mark.parametrize(
    "event",
    [
        [],
        None,
        {},
        5,
        "evt_1",
        {**EVENT, "id": None},
        {**EVENT, "id": ""},
        {**EVENT, "id": 5},
        {**EVENT, "id": "a\0b"},
        {**EVENT, "id": "a" * 300},
        {**EVENT, "type": ["x"]},
        {**EVENT, "livemode": "no"},
        {**EVENT, "livemode": None},
        {**EVENT, "created": True},
        {**EVENT, "created": "now"},
        {**EVENT, "data": {"amount": 2**63}},
        {**EVENT, "data": {"a\0b": 1}},
        {**EVENT, "account": {"id": "acct_1"}},
        {**EVENT, "object": "v2.core.event"},
        {"id": "evt_1", "type": "x"},
    ],
)
async def test_what_is_signed_and_no_event_is_refused(event: object) -> None:
    async with recording(NEW) as (client, recorder):
        response = await send(client, event)
    assert (response.status_code, response.json()["code"]) == (400, "not_an_event")
    assert recorder.received == []


@pytest.mark.parametrize("body", ["{", "", '{"a":NaN}', '{"id":"\\ud800"}', "[" * 10_000])
async def test_what_is_signed_and_no_json_is_refused(body: str) -> None:
    async with recording(NEW) as (client, _):
        response = await client.post(PATH, content=body.encode(), headers=signed(body))
    assert (response.status_code, response.json()["code"]) == (400, "not_an_event")


async def test_without_a_secret_nothing_is_accepted() -> None:
    async with recording(connect=()) as (client, recorder):
        response = await send(client, EVENT)
    assert (response.status_code, response.json()["code"]) == (503, "webhooks_not_configured")
    assert recorder.received == []


async def test_an_empty_secret_signs_nothing() -> None:
    async with recording("") as (client, recorder):
        response = await send(client, EVENT, secret="")
    assert response.status_code in {400, 503}
    assert recorder.received == []


async def test_an_event_that_could_not_be_kept_is_asked_for_again() -> None:
    async with recording(NEW) as (client, recorder):
        recorder.error = DatabaseUnavailable()
        response = await send(client, EVENT)
    assert response.status_code == 503


async def test_an_event_larger_than_any_of_stripes_is_refused() -> None:
    async with recording(NEW) as (client, recorder):
        response = await send(client, {**EVENT, "padding": "x" * 600 * 1024})
    assert (response.status_code, recorder.received) == (413, [])


async def test_an_authorization_header_is_no_business_of_the_webhook() -> None:
    body = json.dumps(EVENT)
    async with recording(NEW) as (client, _):
        headers = {**signed(body), "authorization": "Bearer mallory"}
        assert (await client.post(PATH, content=body.encode(), headers=headers)).status_code == 200
