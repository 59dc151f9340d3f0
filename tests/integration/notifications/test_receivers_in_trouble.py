"""Receivers that fail, hang or are gone, and processes that end in the middle; a day passes by the test's clock."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from promptforge.actors.jobs.messages import CancelJob, RetryJob
from promptforge.actors.notifications.deliveries.domain import Delivery
from promptforge.actors.notifications.deliveries.store import DeliveryStore
from promptforge.actors.notifications.messages import ListNotifications
from promptforge.actors.notifications.webhooks.messages import (
    DeliveryView,
    DisableWebhook,
    EnableWebhook,
    GetWebhookDelivery,
    RedeliverWebhook,
    UpdateWebhook,
    WebhookView,
)
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import interrupt
from tests.integration.notifications.post import Post, current, open_post
from tests.support.receiver import Receiver, answering, hanging, receiving

pytestmark = pytest.mark.anyio


async def hours_pass(post: Post, hours: int) -> None:
    """Hour by hour, with what is due in it."""
    for _ in range(hours):
        for minutes in (1, 9, 10, 20, 20):
            await post.pass_time(minutes=minutes)


async def test_a_process_that_ends_between_sending_and_recording_sends_the_same_id_again(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving() as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        await post.tell(carla, "1")
        await post.work()
        assert len(receiver.received) == 1
        await post.tell(carla, "2")
        failing = post.transactions

        async def after_it_was_sent() -> None:
            """The first transaction is the notification's own; the second records what was sent."""
            failing.before_commit = interrupt

        failing.before_commit = after_it_was_sent
        await post.work()
        assert len(receiver.received) == 2
        assert (await post.deliveries(carla, webhook))[0].state == "pending"
        await post.pass_time(seconds=5)
        _, first, second = receiver.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body
        assert (await post.deliveries(carla, webhook))[0].state == "delivered"


async def test_what_fails_for_a_while_is_tried_for_about_a_day_and_arrives(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving(answering(503)) as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        await post.tell(carla, "1")
        await post.work()
        await hours_pass(post, 9)
        (delivery,) = await post.deliveries(carla, webhook)
        assert delivery.state == "pending"
        assert 6 <= len(delivery.attempts) <= 8
        assert (await current(carla, webhook)).failing_since == delivery.attempts[0].at
        receiver.behaviour = answering(204)
        await hours_pass(post, 18)
        (delivery,) = await post.deliveries(carla, webhook)
        assert (delivery.state, delivery.attempts[-1].outcome) == ("delivered", "204")
        assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
        assert (await current(carla, webhook)).failing_since is None


async def test_who_fails_for_a_day_is_left_alone_and_its_owner_is_told_once(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving(answering(500)) as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        for number in range(3):
            await post.tell(carla, str(number))
        await post.work()
        deliveries = await post.deliveries(carla, webhook)
        for _ in range(48):
            if all(one.state != "pending" for one in deliveries):
                break
            await hours_pass(post, 1)
            deliveries = await post.deliveries(carla, webhook)
        after = await current(carla, webhook)
        assert (after.state, after.reason) == ("disabled", "failing")
        assert {one.state for one in deliveries} <= {"failed", "skipped"}
        assert max(len(one.attempts) for one in deliveries) == 9
        given_up = [one for one in deliveries if one.state == "failed"]
        spans = [(one.attempts[-1].at - one.attempts[0].at).total_seconds() / 3600 for one in given_up]
        assert spans
        # Of eight waits each may be noticed 20 minutes late, and once more where another one is being sent.
        assert all(17 <= span <= 27 + 6 for span in spans)
        told = [one for one in (await carla.ask(ListNotifications())).items if one.kind == "webhook.disabled"]
        assert [one.subject for one in told] == [{"webhook_id": webhook.id, "reason": "failing"}]
        sent = len(receiver.received)
        await post.tell(carla, "later")
        await hours_pass(post, 2)
        assert len(receiver.received) == sent
        receiver.behaviour = answering(200)
        enabled = await carla.ask(EnableWebhook(webhook_id=webhook.id))
        assert (enabled.state, enabled.reason, enabled.failing_since) == ("enabled", None, None)
        await post.tell(carla, "again")
        await post.work()
        assert len(receiver.received) == sent + 1


async def test_who_refuses_one_kind_of_thing_and_takes_others_is_not_disabled(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving(answering(400)) as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        await post.tell(carla, "refused")
        await post.work()
        for number in range(15):
            await post.pass_time(hours=2)
            receiver.behaviour = answering(200)
            await post.tell(carla, f"taken {number}")
            await post.work()
            receiver.behaviour = answering(400)
        assert (await current(carla, webhook)).state == "enabled"


async def test_an_address_that_is_gone_gets_no_more(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving(answering(410)) as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        for number in range(3):
            await post.tell(carla, str(number))
        await post.work()
        await hours_pass(post, 3)
        after = await current(carla, webhook)
        assert (after.state, after.reason) == ("disabled", "gone")
        told = [one for one in (await carla.ask(ListNotifications())).items if one.kind == "webhook.disabled"]
        assert len(told) == 1
        assert len(receiver.received) <= 3


async def test_who_asks_for_time_gets_it(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving(answering(429, headers="retry-after: 600\r\n")) as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        await post.tell(carla, "1")
        await post.work()
        await post.pass_time(seconds=500)
        assert len(receiver.received) == 1
        receiver.behaviour = answering(200)
        await post.pass_time(seconds=101)
        assert len(receiver.received) == 2
        assert (await post.deliveries(carla, webhook))[0].state == "delivered"


async def test_a_receiver_that_hangs_delays_no_other(mongo: Mongo) -> None:
    """More wait for the one that hangs than the queue has places; without the gate they would take all of them."""
    async with open_post(mongo, running=True, timeout_seconds=120) as post, receiving(hanging) as dead:
        carla, eve = await post.person("carla"), await post.person("eve")
        slow, _ = await post.webhook(carla, dead)
        for number in range(100):
            await post.tell(carla, str(number))
        with anyio.fail_after(60):
            while dead.connections < 1:
                await anyio.sleep(0.01)
        async with receiving() as alive:
            await post.webhook(eve, alive)
            for number in range(10):
                await post.tell(eve, str(number))
            await alive.until_received(10)
        assert dead.connections == 1, "until it has answered, it is asked one at a time"
        assert {one.state for one in await post.deliveries(carla, slow)} == {"pending"}


async def test_a_job_that_was_given_up_and_comes_back_leaves_the_sending_to_the_one_after_it(
    post: Post, mongo: Mongo
) -> None:
    carla, oscar = await post.person("carla"), await post.person("oscar", Role.OPERATOR)
    deliveries = mongo.collection("notification_deliveries")
    async with receiving(answering(500)) as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        await post.tell(carla, "1")
        await post.work()
        row = await deliveries.find_one({"channel": webhook.id})
        assert row is not None
        old = row["job_id"]
        await oscar.ask(CancelJob(job_id=old))
        await carla.ask(RedeliverWebhook(webhook_id=webhook.id, delivery_id=row["_id"]))
        await post.work()
        assert len(receiver.received) == 2
        receiver.behaviour = answering(200)
        await oscar.ask(RetryJob(job_id=old))
        await post.work()
        assert len(receiver.received) == 2, "what was asked for last waits for its next attempt"
        await post.pass_time(minutes=1)
        assert len(receiver.received) == 3
    (delivery,) = await post.deliveries(carla, webhook)
    assert [one.outcome for one in delivery.attempts] == ["500", "500", "200"]


async def test_what_was_recorded_before_jobs_were_written_down_is_sent_shown_and_sent_again(
    post: Post, mongo: Mongo
) -> None:
    carla = await post.person("carla")
    deliveries = mongo.collection("notification_deliveries")
    async with receiving(answering(500)) as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        await post.tell(carla, "1")
        await post.work()
        await deliveries.update_many({}, {"$unset": {"job_id": ""}})
        await post.pass_time(minutes=1)
        (delivery,) = await post.deliveries(carla, webhook)
        assert [one.outcome for one in delivery.attempts] == ["500", "500"], "its job is the one that it had"
        receiver.behaviour = answering(200)
        await carla.ask(RedeliverWebhook(webhook_id=webhook.id, delivery_id=delivery.id))
        await post.work()
        ended = await carla.ask(GetWebhookDelivery(webhook_id=webhook.id, delivery_id=delivery.id))
        assert (ended.state, ended.attempts[-1].outcome, len(receiver.received)) == ("delivered", "200", 3)
        await post.pass_time(hours=1)
        assert len(receiver.received) == 3


async def test_what_waits_for_a_slow_receiver_costs_no_reads_and_waits_longer_each_time(
    post: Post, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    carla = await post.person("carla")
    reads: list[str] = []
    find = DeliveryStore.find_to_send

    async def counted(store: DeliveryStore, delivery_id: str, job_id: str | None) -> Delivery | None:
        reads.append(delivery_id)
        return await find(store, delivery_id, job_id)

    monkeypatch.setattr(DeliveryStore, "find_to_send", counted)
    async with receiving() as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        with post.sending._gate.entered(webhook.id, owner=carla.user_id, failing=False):
            await post.tell(carla, "1")
            await post.work()
            for _ in range(9):
                await post.pass_time(seconds=301)
            delivery = await mongo.collection("notification_deliveries").find_one({"channel": webhook.id})
            assert delivery is not None
            row = await mongo.collection("jobs").find_one({"_id": delivery["job_id"]})
            assert row is not None
            assert row["snoozed"] == 10
            assert 150 <= (row["run_at"] - post.clock.now()).total_seconds() <= 300
            assert (reads, receiver.received) == ([], [])
        await post.pass_time(seconds=301)
        assert len(receiver.received) == 1


async def test_what_a_disabled_webhook_misses_can_be_sent_once_it_is_enabled(post: Post, mongo: Mongo) -> None:
    carla = await post.person("carla")
    async with receiving(answering(410)) as receiver:
        webhook, _ = await post.webhook(carla, receiver, kinds=("listing.sold",))
        await post.tell(carla, "gone")
        await post.work()
        for key, kind in (("missed", "listing.sold"), ("not wanted", "payout.sent")):
            await post.tell(carla, key, kind)
        await post.work()
        assert len(receiver.received) == 1
        (missed,) = await skipped(post, carla, webhook)
        assert (missed.kind, missed.reason) == ("listing.sold", "webhook_disabled")
        receiver.behaviour = answering(200)
        await carla.ask(EnableWebhook(webhook_id=webhook.id))
        await carla.ask(RedeliverWebhook(webhook_id=webhook.id, delivery_id=missed.id))
        await post.work()
        assert [one.headers["webhook-id"] for one in receiver.received[1:]] == [missed.event_id]
        await carla.ask(DisableWebhook(webhook_id=webhook.id))
        post.clock.advance(days=31)
        await post.tell(carla, "long after")
        await post.work()
        assert await skipped(post, carla, webhook) == []
        assert await mongo.collection("notifications").count_documents({"title": "Title long after"}) == 1


async def skipped(post: Post, person: Context, webhook: WebhookView) -> list[DeliveryView]:
    return [one for one in await post.deliveries(person, webhook) if one.state == "skipped"]


@pytest.mark.parametrize("status", [410, 500])
async def test_what_an_address_of_before_answers_says_nothing_of_the_one_that_took_its_place(
    post: Post, status: int
) -> None:
    """Its owner changes it while the last attempt is under way, after a day of failures."""
    carla = await post.person("carla")
    async with receiving(answering(500)) as old, receiving() as new:
        webhook, _ = await post.webhook(carla, old)
        await post.tell(carla, "1")
        await post.work()
        for _ in range(40):
            if len((await post.deliveries(carla, webhook))[0].attempts) == 8:
                break
            await post.pass_time(hours=1)

        async def moved(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
            await carla.ask(UpdateWebhook(webhook_id=webhook.id, url=new.url))
            await answering(status)(receiver, writer)

        old.behaviour = moved
        await hours_pass(post, 16)
        after = await current(carla, webhook)
        assert (after.state, after.reason, after.url) == ("enabled", None, new.url)
        assert after.failing_since is None
        (delivery,) = await post.deliveries(carla, webhook)
        assert (delivery.state, [one.outcome for one in delivery.attempts[-2:]]) == ("delivered", [str(status), "200"])
        assert len(new.received) == 1
