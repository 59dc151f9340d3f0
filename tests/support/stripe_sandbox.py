"""The Stripe sandbox on a real socket, the real SDK as its client, and an endpoint that takes its events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import stripe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.live import StripeCheckoutSessions
from promptforge.actors.billing.stripe.pages import PageRules
from promptforge.deploy.sandbox.deliveries import Endpoint, Retries
from promptforge.deploy.sandbox.sandbox import Sandbox, SandboxSettings, open_sandbox, serving
from promptforge.deploy.server import bind
from tests.support.running import PLAIN

API_KEY = "sk_test_of_the_tests"
SECRET = "whsec_platform"
CONNECT_SECRET = "whsec_connect"
PAGES = PageRules("https://a.example/paid", "https://a.example/back", taxed=True)
QUICK = Retries(first_seconds=0.05, most_seconds=0.2, tries=6)


@dataclass(slots=True)
class Received:
    """The events that came, as they came; a signature that is not right never gets in. `answers`: what to say first."""

    events: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        body = (await request.body()).decode()
        secret = CONNECT_SECRET if request.url.path == "/connect" else SECRET
        stripe.WebhookSignature.verify_header(body, request.headers["stripe-signature"], secret, tolerance=300)
        event = json.loads(body)
        if self.answers and (status := self.answers.pop(0)) != 200:
            self.refused.append(event["type"])
            return Response(status_code=status)
        self.events.append(event)
        return Response()

    def types(self, account: str | None = None) -> list[str]:
        return [event["type"] for event in self.events if event.get("account") == account]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    async def until(self, kind: str, *, times: int = 1, seconds: float = 60) -> dict[str, Any]:
        """Wait for an event of this type, and answer it (the last of `times`)."""
        with anyio.fail_after(seconds):
            while len(self.of(kind)) < times:
                await anyio.sleep(0.01)
        return self.of(kind)[times - 1]


@dataclass(slots=True)
class Till:
    """A sandbox, the SDK's client of it, and what its endpoint has received."""

    sandbox: Sandbox
    client: stripe.StripeClient
    received: Received
    http: httpx.AsyncClient

    async def control(self, path: str, body: dict[str, Any] | None = None, *, method: str = "POST") -> Any:
        response = await self.http.request(method, f"/_sandbox{path}", json=body or {})
        assert response.status_code == 200, response.text
        return response.json()

    async def session(self, amount: int = 500, currency: str = "usd", **more: Any) -> stripe.checkout.Session:
        price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "500 credits"}}
        params: Any = {
            "mode": "payment",
            "line_items": [{"quantity": 1, "price_data": price}],
            "success_url": "http://127.0.0.1:9/paid?session={CHECKOUT_SESSION_ID}",
            **more,
        }
        return await self.client.v1.checkout.sessions.create_async(params)

    async def charge(self, amount: int = 2000, *, method: str = "pm_card_bypassPending", **more: Any) -> stripe.Charge:
        """A charge that succeeded, whose money is there at once."""
        params: Any = {"amount": amount, "currency": "usd", "payment_method": method, "confirm": True, **more}
        intent = await self.client.v1.payment_intents.create_async(params)
        assert isinstance(intent.latest_charge, str)
        return await self.client.v1.charges.retrieve_async(intent.latest_charge)

    async def quiet(self) -> None:
        """Wait until every event has been delivered or given up."""
        await until(lambda: self.sandbox.deliveries.unfinished == 0)


def was_replayed(answer: stripe.StripeObject) -> bool:
    """Whether an answer was given before, to the same idempotency key."""
    response = answer.last_response
    assert response is not None
    headers: Any = response.headers
    return "idempotent-replayed" in headers


async def until(look: Callable[[], object], *, seconds: float = 60) -> None:
    with anyio.fail_after(seconds):
        while not look():
            await anyio.sleep(0.01)


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Received, str]]:
    """An endpoint for events on a free port, and its address."""
    received = Received()
    routes = [Route(path, received.take, methods=["POST"]) for path in ("/platform", "/connect")]
    listener = bind("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(Starlette(routes=routes), listener):
        yield received, address


@asynccontextmanager
async def sdk(
    url: str, key: str = API_KEY, *, retries: int = 0, seconds: float = 30
) -> AsyncIterator[stripe.StripeClient]:
    """The real SDK's asynchronous client, speaking to the sandbox."""
    http = stripe.HTTPXClient(timeout=seconds, verify_ssl_certs=False)  # it speaks no TLS
    try:
        yield stripe.StripeClient(key, base_addresses={"api": url}, http_client=http, max_network_retries=retries)
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]  # the SDK has no types for it


@asynccontextmanager
async def stripe_api(url: str, key: str = API_KEY) -> AsyncIterator[StripeApi]:
    """The product's own client."""
    api = StripeApi(key, api_base=url)
    try:
        yield api
    finally:
        await api.close()


@asynccontextmanager
async def quiet_stripe() -> AsyncIterator[StripeApi]:
    """The product's own client, at a sandbox whose events go nowhere."""
    async with open_sandbox(SandboxSettings(api_key=API_KEY)) as sandbox, stripe_api(sandbox.url) as api:
        yield api


def checkout_sessions_at(api: StripeApi) -> StripeCheckoutSessions:
    return StripeCheckoutSessions(api, PAGES)


@asynccontextmanager
async def checkout_sessions() -> AsyncIterator[StripeCheckoutSessions]:
    """The product's own checkouts, at a sandbox whose events go nowhere."""
    async with quiet_stripe() as api:
        yield checkout_sessions_at(api)


@asynccontextmanager
async def open_till(**settings: Any) -> AsyncIterator[Till]:
    """`settings` are those of the sandbox that differ."""
    async with receiving() as (received, address):
        endpoints = (
            Endpoint(f"{address}/platform", SECRET),
            Endpoint(f"{address}/connect", CONNECT_SECRET, connect=True),
        )
        given = {"api_key": API_KEY, "endpoints": endpoints, "seed": "tests", "retries": QUICK, **settings}
        authorization = {"Authorization": f"Bearer {API_KEY}"}
        async with (
            open_sandbox(SandboxSettings(**given)) as sandbox,
            sdk(sandbox.url) as client,
            httpx.AsyncClient(base_url=sandbox.url, headers=authorization, verify=PLAIN) as http,
        ):
            yield Till(sandbox, client, received, http)
