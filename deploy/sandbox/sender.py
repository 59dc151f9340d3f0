"""Sends signed events over HTTP, as `deliveries` plans them."""

from __future__ import annotations

import importlib
import json
from types import ModuleType
from typing import TYPE_CHECKING

import anyio

from promptforge.core.tls import authorities
from promptforge.deploy.sandbox.deliveries import Deliveries, Delivery
from promptforge.deploy.sandbox.world import public

if TYPE_CHECKING:
    import httpx

AT_ONCE = 4
ANSWER_SECONDS = 10.0
USER_AGENT = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"


class Sender:
    """`run` sends until it is cancelled. Nothing is imported before there is something to send."""

    def __init__(self, deliveries: Deliveries, *, at_once: int = AT_ONCE) -> None:
        self._deliveries = deliveries
        self._news = anyio.Event()
        self._places = anyio.Semaphore(at_once)
        deliveries.wake = self._wake

    def _wake(self) -> None:
        self._news.set()

    async def run(self) -> None:
        await self._until_due()
        httpx = await _imported("httpx")
        stripe = await _imported("stripe")
        async with (
            httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False, verify=authorities("http")) as client,
            anyio.create_task_group() as tasks,
        ):
            while True:
                await self._places.acquire()
                delivery = await self._next()
                tasks.start_soon(self._send, client, stripe, delivery)

    async def _until_due(self) -> None:
        while self._deliveries.wait_seconds() is None:
            await self._news.wait()
            self._news = anyio.Event()

    async def _next(self) -> Delivery:
        while (delivery := self._deliveries.due()) is None:
            with anyio.move_on_after(self._deliveries.wait_seconds()):
                await self._news.wait()
            self._news = anyio.Event()
        return delivery

    async def _send(self, client: httpx.AsyncClient, stripe: ModuleType, delivery: Delivery) -> None:
        try:
            self._deliveries.ended(delivery, await _post(client, stripe, delivery))
        finally:
            self._places.release()
            self._wake()


async def _post(client: httpx.AsyncClient, stripe: ModuleType, delivery: Delivery) -> int:
    """The status of the answer; 0 where there was none. Each try is signed anew, with the real time."""
    payload = json.dumps(public(delivery.event), indent=2)
    signature: str = stripe.WebhookSignature.generate_signature_header(payload=payload, secret=delivery.endpoint.secret)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature,
        "User-Agent": USER_AGENT,
    }
    import httpx  # noqa: PLC0415  # loaded by now

    try:
        answer = await client.post(delivery.endpoint.url, content=payload, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return 0
    return answer.status_code


async def _imported(name: str) -> ModuleType:
    """Imported in a thread: it takes a while, and nothing waits for it."""
    return await anyio.to_thread.run_sync(importlib.import_module, name)
