"""What the client of Stripe asks, and how it takes answers: the sandbox's, and those of a Stripe that says anything."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.abc
import h11
import pytest

from promptforge.actors.billing.errors import StripeRefused, StripeUnavailable, UnknownAtStripe
from promptforge.actors.billing.stripe import api
from promptforge.actors.billing.stripe.live import StripeCheckoutSessions
from promptforge.actors.billing.stripe.sessions import CheckoutSessions, SessionRequest
from tests.support.stripe_sandbox import checkout_sessions, checkout_sessions_at

pytestmark = pytest.mark.anyio

Answer = tuple[int, dict[str, Any]]  # Any: JSON


@dataclass(slots=True)
class LittleStripe:
    """Makes a session per idempotency key. `script`: what it does before that, request by request."""

    script: list[Answer | str] = field(default_factory=list)
    sessions: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            connection = h11.Connection(h11.SERVER)
            request, body = await _receive(stream, connection)
            headers = {name.decode().lower(): value.decode() for name, value in request.headers}
            key = headers.get("idempotency-key", "")
            self.seen.append((key, dict(parse_qsl(body.decode()))))
            step = self.script.pop(0) if self.script else None
            if step == "hang":
                await anyio.sleep(60)
            if step == "drop":
                return
            session = self.sessions.setdefault(key, f"cs_test_{len(self.sessions)}")
            if step == "drop after the effect":
                return
            made = {"id": session, "object": "checkout.session", "url": f"https://pay.example/{session}"}
            plain: Answer = (200, made)
            status, answer = step if isinstance(step, tuple) else plain
            content = json.dumps(answer).encode()
            fields = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
            if status >= 400:
                fields["stripe-should-retry"] = "false"
            events = [
                h11.Response(status_code=status, headers=list(fields.items())),
                h11.Data(data=content),
                h11.EndOfMessage(),
            ]
            for event in events:
                await stream.send(connection.send(event) or b"")


async def _receive(stream: anyio.abc.SocketStream, connection: h11.Connection) -> tuple[h11.Request, bytes]:
    request: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive())
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            return request, body


@asynccontextmanager
async def at_little_stripe(stripe: LittleStripe, key: str = "sk_test_1") -> AsyncIterator[StripeCheckoutSessions]:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, stripe.serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        patience = 1.0 if "hang" in stripe.script else 60.0
        sessions = checkout_sessions_at(api.StripeApi(key, api_base=f"http://127.0.0.1:{port}", try_seconds=patience))
        try:
            yield sessions
        finally:
            await sessions.close()
            tasks.cancel_scope.cancel()


def a_request(key: str = "checkout:chk_1") -> SessionRequest:
    return SessionRequest("chk_1", key, "500 PromptForge credits", 500, "usd")


@pytest.mark.parametrize(
    "opened", [lambda: at_little_stripe(LittleStripe()), checkout_sessions], ids=["little", "sandbox"]
)
async def test_one_key_makes_one_session(opened: Callable[[], Any]) -> None:  # Any: a context manager
    async with opened() as sessions:
        made: CheckoutSessions = sessions
        first = await made.create(a_request())
        assert await made.create(a_request()) == first
        other = await made.create(a_request("checkout:chk_2"))
        assert first.id.startswith("cs_test_")
        assert other.id != first.id
        assert made.livemode is False


async def test_stripe_is_told_the_price_and_whose_checkout_it_is() -> None:
    stripe = LittleStripe()
    async with at_little_stripe(stripe) as sessions:
        session = await sessions.create(replace(a_request(), customer_id="cus_1"))
    assert session.url == f"https://pay.example/{session.id}"
    ((key, told),) = stripe.seen
    assert key == "checkout:chk_1"
    assert told == {
        "mode": "payment",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "500",
        "line_items[0][price_data][product_data][name]": "500 PromptForge credits",
        "client_reference_id": "chk_1",
        "customer": "cus_1",
        "customer_update[address]": "auto",
        "customer_update[name]": "auto",
        "billing_address_collection": "required",
        "automatic_tax[enabled]": "true",
        "invoice_creation[enabled]": "true",
        "invoice_creation[invoice_data][metadata][checkout_id]": "chk_1",
        "metadata[checkout_id]": "chk_1",
        "payment_intent_data[metadata][checkout_id]": "chk_1",
        "success_url": "https://a.example/paid",
        "cancel_url": "https://a.example/back",
    }


@pytest.mark.parametrize("trouble", ["drop", "drop after the effect", "hang"])
async def test_a_lost_answer_is_asked_for_again_with_the_same_key(trouble: str) -> None:
    stripe = LittleStripe([trouble])
    async with at_little_stripe(stripe) as sessions:
        session = await sessions.create(a_request())
    assert stripe.sessions == {"checkout:chk_1": session.id}
    assert [key for key, _ in stripe.seen] == ["checkout:chk_1"] * 2


async def test_tries_are_bounded_and_leave_the_outcome_open() -> None:
    stripe = LittleStripe(["drop"] * 10)
    async with at_little_stripe(stripe) as sessions:
        with pytest.raises(StripeUnavailable):
            await sessions.create(a_request())
    assert len(stripe.seen) == 1 + api.RETRIES


async def test_all_tries_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "ALL_TRIES_SECONDS", 0.2)
    async with at_little_stripe(LittleStripe(["hang"])) as sessions:
        with pytest.raises(StripeUnavailable):
            await sessions.create(a_request())


def _error(kind: str) -> dict[str, Any]:  # Any: JSON
    return {"error": {"type": kind, "message": "no"}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((429, _error("rate_limit_error")), StripeUnavailable),
        ((409, _error("idempotency_error")), StripeUnavailable),
        ((400, _error("invalid_request_error")), StripeRefused),
        ((401, _error("authentication_error")), StripeRefused),
        ((402, _error("card_error")), StripeRefused),
        ((500, _error("api_error")), StripeRefused),
        ((200, {"object": "checkout.session"}), StripeUnavailable),
    ],
)
async def test_an_error_says_whether_the_key_can_be_used_again(answer: Answer, expected: type[Exception]) -> None:
    async with at_little_stripe(LittleStripe([answer])) as sessions:
        with pytest.raises(expected):
            await sessions.create(a_request())


def _refused_key(code: str | None = None) -> dict[str, Any]:  # Any: JSON
    return {"error": {"type": "invalid_request_error", "message": "no", **({"code": code} if code else {})}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((401, _refused_key()), StripeUnavailable),
        ((403, _refused_key("more_permissions_required")), StripeUnavailable),
        ((403, _refused_key("account_invalid")), StripeRefused),
        ((404, _refused_key("resource_missing")), UnknownAtStripe),
        ((500, _refused_key()), StripeUnavailable),
    ],
)
async def test_a_question_is_asked_again_once_our_key_is_mended(answer: Answer, expected: type[Exception]) -> None:
    async with at_little_stripe(LittleStripe([answer])) as sessions:
        with pytest.raises(expected):
            await sessions._api.read(lambda client: client.v1.refunds.retrieve_async("re_1"), about="re_1")


async def test_a_refusal_names_what_stripe_said() -> None:
    async with at_little_stripe(LittleStripe([(402, _refused_key("card_declined"))])) as sessions:
        with pytest.raises(StripeRefused, match="card_declined"):
            await sessions.create(a_request())


@pytest.mark.parametrize(("key", "live_mode"), [("sk_live_1", True), ("rk_live_1", True), ("sk_test_1", False)])
async def test_the_key_says_whether_money_is_real(key: str, *, live_mode: bool) -> None:
    async with at_little_stripe(LittleStripe(), key) as sessions:
        assert sessions.livemode is live_mode
