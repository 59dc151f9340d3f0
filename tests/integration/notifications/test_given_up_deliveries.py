"""Deliveries whose job has ended without them say so, with why and when, and are sent where an operator tries again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptforge.actors.jobs.messages import CancelJob, RetryJob
from promptforge.actors.notifications.deliveries.messages import SweepDeliveries
from promptforge.actors.notifications.webhooks.messages import DeliveryView, RedeliverWebhook, WebhookView
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import interrupt
from tests.integration.notifications.post import Post, open_post
from tests.support.receiver import Receiver, answering, receiving

pytestmark = pytest.mark.anyio


@pytest.fixture
async def post(mongo: Mongo) -> AsyncIterator[Post]:
    async with open_post(mongo) as opened:
        yield opened


async def told(post: Post, receiver: Receiver) -> tuple[Context, WebhookView]:
    """Carla's webhook has been sent something, once."""
    carla = await post.person("carla")
    webhook, _ = await post.webhook(carla, receiver)
    await post.tell(carla, "1")
    await post.work()
    return carla, webhook


async def only(post: Post, carla: Context, webhook: WebhookView) -> DeliveryView:
    (delivery,) = await post.deliveries(carla, webhook)
    return delivery


async def job_of(post: Post, delivery: DeliveryView) -> Any:
    row = await post.process.mongo.collection("notification_deliveries").find_one({"_id": delivery.id})
    assert row is not None
    return await post.process.mongo.collection("jobs").find_one({"_id": row["job_id"]})


async def sweep(post: Post) -> int:
    return await post.process.context().ask(SweepDeliveries())


async def die(post: Post) -> None:
    """Each attempt of what is due ends between the request and its record, until the job is given up."""
    for _ in range(12):
        post.transactions.before_commit = interrupt
        await post.pass_time(hours=7)
    post.transactions.before_commit = None


async def test_a_delivery_whose_job_died_has_failed_with_the_last_error_and_when(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving() as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        await post.tell(carla, "1")

        async def not_this_one() -> None:
            post.transactions.before_commit = interrupt

        post.transactions.before_commit = not_this_one
        await post.work()
        await die(post)
        pending = await only(post, carla, webhook)
        job = await job_of(post, pending)
        assert (job["state"], pending.state) == ("dead", "pending")
        assert await sweep(post) == 1
        failed = await only(post, carla, webhook)
        assert (failed.state, failed.reason, failed.error) == ("failed", "job_died", job["errors"][-1]["error"])
        assert (failed.error, failed.ended_at) == ("Interrupted", job["finished_at"])
        assert await sweep(post) == 0
        sent = len(receiver.received)
        operator = await post.person("otto", Role.OPERATOR)
        await operator.ask(RetryJob(job_id=job["_id"]))
        await post.work()
        assert len(receiver.received) == sent + 1
        delivered = await only(post, carla, webhook)
        assert (delivered.state, delivered.reason, delivered.error) == ("delivered", None, None)


async def test_a_delivery_whose_job_was_cancelled_has_failed_and_can_be_sent_again(post: Post) -> None:
    async with receiving(answering(503)) as receiver:
        carla, webhook = await told(post, receiver)
        operator = await post.person("otto", Role.OPERATOR)
        job = await job_of(post, await only(post, carla, webhook))
        assert await sweep(post) == 0, "it is tried again"
        await operator.ask(CancelJob(job_id=job["_id"]))
        assert await sweep(post) == 1
        failed = await only(post, carla, webhook)
        assert (failed.state, failed.reason, failed.error) == ("failed", "job_cancelled", None)
        assert failed.ended_at is not None
        assert [one.outcome for one in failed.attempts] == ["503"]
        again = await carla.ask(RedeliverWebhook(webhook_id=webhook.id, delivery_id=failed.id))
        assert (again.state, again.reason, again.ended_at) == ("pending", None, None)
        assert await sweep(post) == 0, "another job sends it"
        await operator.ask(RetryJob(job_id=job["_id"]))
        await post.work()
        assert len(receiver.received) == 2, "by the new job, not by the old one"


async def test_a_delivery_whose_job_is_gone_ends_after_two_days(post: Post) -> None:
    async with receiving(answering(503)) as receiver:
        carla, webhook = await told(post, receiver)
        job = await job_of(post, await only(post, carla, webhook))
        await post.process.mongo.collection("jobs").delete_one({"_id": job["_id"]})
        post.clock.advance(days=2)
        assert await sweep(post) == 0, "it may not be seen yet"
        post.clock.advance(seconds=1)
        assert await sweep(post) == 1
        failed = await only(post, carla, webhook)
        assert (failed.state, failed.reason, failed.ended_at) == ("failed", "job_lost", post.clock.now())


async def test_a_sweep_goes_through_more_than_it_reads_at_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptforge.actors.notifications.deliveries.actor.AT_ONCE", 2)
    async with receiving(answering(503)) as receiver:
        carla, webhook = await told(post, receiver)
        for number in range(2, 6):
            await post.tell(carla, str(number))
        await post.work()
        jobs = [await job_of(post, one) for one in await post.deliveries(carla, webhook)]
        operator = await post.person("otto", Role.OPERATOR)
        for job in (jobs[0], jobs[2], jobs[4]):
            await operator.ask(CancelJob(job_id=job["_id"]))
        assert await sweep(post) == 3
        states = [one.state.value for one in await post.deliveries(carla, webhook)]
        assert states == ["failed", "pending", "failed", "pending", "failed"]
        await post.process.mongo.collection("jobs").delete_many({"_id": jobs[1]["_id"]})
        post.clock.advance(days=3)
        assert await sweep(post) == 1


async def test_mails_end_likewise(mongo: Mongo) -> None:
    """Nobody sees a mail's delivery but in the export of their data."""
    async with open_post(mongo, smtp_url="smtp://127.0.0.1:1", mail_from="P <no-reply@example.com>") as post:
        carla = await post.person("carla")
        await mongo.collection("users").update_one({"_id": carla.user_id}, {"$set": {"email": "carla@example.com"}})
        await post.tell(carla, "1")
        await post.work()
        deliveries = mongo.collection("notification_deliveries")
        row = await deliveries.find_one({"channel": "email"})
        assert row is not None
        assert row["state"] == "pending"
        await (await post.person("otto", Role.OPERATOR)).ask(CancelJob(job_id=row["job_id"]))
        assert await sweep(post) == 1
        row = await deliveries.find_one({"channel": "email"})
        assert row is not None
        assert (row["state"], row["reason"]) == ("failed", "job_cancelled")
