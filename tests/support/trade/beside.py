"""A started service with the Stripe sandbox beside it: in the test's own process, so that it outlives the service."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal

from promptforge.deploy.sandbox.deliveries import Endpoint, Retries
from promptforge.deploy.sandbox.sandbox import SandboxSettings, open_sandbox
from promptforge.deploy.sandbox.timeline import Timeline
from tests.support.running import PATIENCE_SECONDS, PLAIN, Person, eventually
from tests.support.service import Service

API_KEY = "sk_test_of_the_tests"
SECRET, CONNECT_SECRET = "whsec_platform", "whsec_connect"


def control(stripe: httpx.Client, path: str, body: dict[str, Any] | None = None) -> Any:
    """What at Stripe people and banks do."""
    response = stripe.post(f"/_sandbox{path}", json=body or {})
    assert response.status_code == 200, response.text
    return response.json()


@contextlib.contextmanager
def beside_stripe(
    directory: Path, *, behind_seconds: float = 0, most_objects: int = 10_000, **settings: str
) -> Iterator[tuple[Service, httpx.Client]]:
    """A started service, and a client of the sandbox; settlement and bank details need no time.

    `behind_seconds`: how far the sandbox's clock lags, so that what has just happened there counts as some time ago.
    """
    service = Service(directory)
    hook = f"{service.base_url}/api/v1/webhooks/stripe"
    endpoints = (Endpoint(hook, SECRET), Endpoint(hook, CONNECT_SECRET, connect=True))
    retries = Retries(first_seconds=0.2, most_seconds=2, tries=200)
    made = SandboxSettings(
        api_key=API_KEY, endpoints=endpoints, pending_seconds=0, retries=retries, most_objects=most_objects
    )
    timeline = Timeline(lambda: time.time() - behind_seconds)
    authorization = {"Authorization": f"Bearer {API_KEY}"}
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_sandbox(made, timeline=timeline)) as sandbox,
        httpx.Client(base_url=sandbox.url, headers=authorization, timeout=PATIENCE_SECONDS, verify=PLAIN) as stripe,
    ):
        service.set(
            STRIPE_API_BASE=sandbox.url,
            STRIPE_SECRET_KEY=API_KEY,
            STRIPE_WEBHOOK_SECRET=SECRET,
            STRIPE_CONNECT_WEBHOOK_SECRET=CONNECT_SECRET,
            SETTLEMENT_DAYS="0",
            SETTLEMENT_DAYS_NEW_SELLER="0",
            BANK_DETAILS_HOLD_HOURS="0",
            **settings,
        )
        try:
            service.start()
            yield service, stripe
        finally:
            service.set(FAILPOINTS="")
            service.stop()


def onboarded(service: Service, stripe: httpx.Client, seller: Person) -> str:
    """A seller who has given Stripe all details; answers the connected account."""
    seller.post("/billing/connect/onboarding", {"country": "US"})
    with service.database() as client:
        user_id = seller.get("/users/me")["id"]
        stored = client["promptforge"]["connect_accounts"].find_one({"_id": user_id})
    assert stored is not None
    account: str = stored["account_id"]
    control(stripe, f"/accounts/{account}/onboard")
    eventually(lambda: seller.get("/billing/connect")["state"] == "active")
    return account
