"""A process that sends what people are told to receivers and to a mail server of the test, by a clock of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import SecretStr
from standardwebhooks import Webhook as Verifier

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.notifications.webhooks.messages import (
    CreateWebhook,
    DeliveryView,
    GetWebhook,
    ListWebhookDeliveries,
    WebhookView,
)
from promptforge.actors.notifications.webhooks.sending import WebhookSendingActor
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor
from promptforge.deploy.features import INDEXES, QUEUES, build_actors
from promptforge.deploy.settings import Settings
from tests.integration.marketplace.branches import WatchedTransactions
from tests.support.market import Market
from tests.support.mongo import with_indexes
from tests.support.processes import SteppedClock, TestProcess, job_process
from tests.support.receiver import Received, Receiver

SECRETS = ("a secret of tests",)


@dataclass(frozen=True, slots=True)
class Post:
    """Jobs run when a test says so; `advance` moves its time."""

    market: Market
    clock: SteppedClock
    transactions: WatchedTransactions
    sending: WebhookSendingActor

    @property
    def process(self) -> TestProcess:
        return self.market.process

    async def person(self, uid: str, *roles: Role) -> Context:
        return await self.market.person(uid, *roles)

    async def tell(self, person: Context, key: str, kind: str = "listing.sold", **changes: str) -> None:
        """Enqueued, as features do it."""
        fields = {"title": f"Title {key}", "body": "Body", **changes}
        notice = NotifyUser(
            user_id=person.user_id, kind=kind, subject={"n": key}, dedupe_key=f"{person.user_id}:{key}", **fields
        )
        await self.process.context().enqueue(notice, owner_id=person.user_id)

    async def work(self) -> None:
        """Run what is due."""
        await self.process.runner.drain()

    async def pass_time(self, **span: float) -> None:
        self.clock.advance(**span)
        await self.work()

    async def webhook(self, person: Context, receiver: Receiver, **fields: Any) -> tuple[WebhookView, str]:
        made = await person.ask(CreateWebhook(url=receiver.url, **fields))
        assert made.secret is not None
        return made.webhook, made.secret

    async def deliveries(self, person: Context, webhook: WebhookView) -> Sequence[DeliveryView]:
        return (await person.ask(ListWebhookDeliveries(webhook_id=webhook.id, limit=100))).items


async def current(person: Context, webhook: WebhookView) -> WebhookView:
    return await person.ask(GetWebhook(webhook_id=webhook.id))


def verified(received: Received, secret: str) -> dict[str, Any]:
    """The event, by the library that receivers use. Its clock must be near the test's."""
    event: dict[str, Any] = Verifier(secret).verify(received.body, received.headers)
    assert event == orjson.loads(received.body)
    return event


def settings(**changes: Any) -> Settings:
    return Settings(stripe_secret_key=SecretStr("sk_test_unused"), webhook_local_hosts=("127.0.0.1",), **changes)


@asynccontextmanager
async def open_post(
    mongo: Mongo, *, running: bool = False, timeout_seconds: float = 40.0, **changes: Any
) -> AsyncIterator[Post]:
    await with_indexes(mongo, INDEXES)
    clock = SteppedClock()
    sending: list[WebhookSendingActor] = []

    def actors(store: Any) -> list[Actor]:
        made = build_actors(mongo, store, settings(**changes), secrets=SECRETS)
        for actor in made:
            if isinstance(actor, WebhookSendingActor):
                actor._timeout_seconds = timeout_seconds
                sending.append(actor)
        return made

    async with job_process(mongo, actors, running=running, queues=QUEUES, clock=None if running else clock) as process:
        if not running:
            process.system.clock = clock
        transactions = WatchedTransactions(mongo)
        process.system.transactions = transactions
        yield Post(Market(process), clock, transactions, sending[0])
