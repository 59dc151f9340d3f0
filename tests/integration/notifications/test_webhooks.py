"""Webhooks on a real MongoDB and real sockets: who has them, and what is sent to them."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from promptforge.actors.notifications.messages import DeleteNotification, ListNotifications
from promptforge.actors.notifications.preferences.messages import ChannelChoice
from promptforge.actors.notifications.webhooks.errors import DeliveryPending
from promptforge.actors.notifications.webhooks.messages import (
    CreateWebhook,
    DeleteWebhook,
    DisableWebhook,
    EnableWebhook,
    GetWebhook,
    GetWebhookDelivery,
    ListWebhookDeliveries,
    ListWebhooks,
    RedeliverWebhook,
    RotateWebhookSecret,
    SendWebhook,
    TestWebhook,
    UpdateWebhook,
)
from promptforge.actors.users.settings.messages import UpdateSettings
from promptforge.core.errors import Invalid
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal
from tests.integration.marketplace.branches import all_at_once
from tests.integration.notifications.post import Post, current, open_post, verified
from tests.support.market import raised
from tests.support.receiver import answering, receiving

pytestmark = pytest.mark.anyio


async def test_what_somebody_is_told_is_sent_signed_and_once(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving() as receiver:
        webhook, secret = await post.webhook(carla, receiver)
        for _ in range(2):
            await post.tell(carla, "1")
        await post.work()
        (received,) = receiver.received
        (told,) = (await carla.ask(ListNotifications())).items
        event = verified(received, secret)
        assert event["type"] == "listing.sold"
        assert event["data"] == {"id": told.id, "title": "Title 1", "body": "Body", "subject": {"n": "1"}}
        assert received.headers["webhook-id"] == told.id
        assert received.headers["content-type"] == "application/json"
    (delivery,) = await post.deliveries(carla, webhook)
    assert (delivery.state, delivery.event_id, delivery.kind) == ("delivered", told.id, "listing.sold")
    assert [one.outcome for one in delivery.attempts] == ["200"]
    assert await carla.ask(GetWebhookDelivery(webhook_id=webhook.id, delivery_id=delivery.id)) == delivery
    assert (await current(carla, webhook)).delivered_at == post.clock.now()


async def test_only_the_kinds_that_were_asked_for_are_sent(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving() as receiver:
        webhook, _ = await post.webhook(carla, receiver, kinds=("payout.sent",))
        await post.tell(carla, "1")
        await post.tell(carla, "2", kind="payout.sent")
        await post.work()
        assert [one.kind for one in await post.deliveries(carla, webhook)] == ["payout.sent"]
        changed = await carla.ask(UpdateWebhook(webhook_id=webhook.id, kinds=(), description="All"))
        assert (changed.kinds, changed.description, changed.url) == ((), "All", receiver.url)
        await post.tell(carla, "3")
        await post.work()
        assert len(receiver.received) == 2
    with pytest.raises(Invalid):
        await carla.ask(UpdateWebhook(webhook_id=webhook.id, kinds=("listing.sold", "no.such")))


async def test_choices_count_when_it_is_sent_and_not_when_it_happened(post: Post) -> None:
    """The receiver fails at first, so there is time to choose otherwise between the event and its delivery."""
    carla = await post.person("carla")
    async with receiving(answering(500)) as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        await post.tell(carla, "1")
        await post.work()
        await carla.ask(UpdateSettings(notifications={"listing.sold": ChannelChoice(webhook=False)}))
        receiver.behaviour = answering(200)
        await post.pass_time(seconds=10)
        assert len(receiver.received) == 1
        (delivery,) = await post.deliveries(carla, webhook)
        assert (delivery.state, delivery.reason) == ("skipped", "not_wanted")
        await carla.ask(UpdateSettings(notifications={"listing.sold": ChannelChoice(webhook=True)}))
        await carla.ask(RedeliverWebhook(webhook_id=webhook.id, delivery_id=delivery.id))
        await post.work()
        assert len(receiver.received) == 2
        assert (await post.deliveries(carla, webhook))[0].state == "delivered"


async def test_what_was_deleted_or_disabled_or_suspended_meanwhile_is_not_sent(post: Post, mongo: Mongo) -> None:
    carla = await post.person("carla")
    async with receiving(answering(500)) as receiver:
        webhook, _ = await post.webhook(carla, receiver)

        async def reason_after(key: str) -> str | None:
            receiver.behaviour = answering(200)
            await post.pass_time(minutes=2)
            receiver.behaviour = answering(500)
            newest = (await post.deliveries(carla, webhook))[0]
            assert newest.state == "skipped", key
            return newest.reason

        async def told(key: str) -> None:
            post.clock.advance(seconds=1)
            await post.tell(carla, key)
            await post.work()

        await told("deleted")
        (notification,) = (await carla.ask(ListNotifications(limit=1))).items
        await carla.ask(DeleteNotification(notification_id=notification.id))
        assert await reason_after("deleted") == "notification_deleted"
        await told("disabled")
        await carla.ask(DisableWebhook(webhook_id=webhook.id))
        assert await reason_after("disabled") == "webhook_disabled"
        await carla.ask(EnableWebhook(webhook_id=webhook.id))
        await told("suspended")
        await mongo.collection("users").update_one({"_id": carla.user_id}, {"$set": {"suspended": True}})
        assert await reason_after("suspended") == "account_suspended"
        assert len(receiver.received) == 3, "one failed attempt each"
        await mongo.collection("users").update_one({"_id": carla.user_id}, {"$set": {"suspended": False}})
        await told("gone")
        await carla.ask(DeleteWebhook(webhook_id=webhook.id))
        receiver.behaviour = answering(200)
        await post.pass_time(minutes=2)
        assert len(receiver.received) == 4
        assert await mongo.collection("notification_deliveries").count_documents({"reason": "webhook_deleted"}) == 1


async def test_for_a_day_both_secrets_are_good(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving() as receiver:
        webhook, old = await post.webhook(carla, receiver)
        rotated = await carla.ask(RotateWebhookSecret(webhook_id=webhook.id))
        assert rotated.secret is not None
        assert rotated.secret != old
        assert rotated.webhook.old_secret_until == post.clock.now() + timedelta(days=1)
        await post.tell(carla, "1")
        await post.work()
        (received,) = receiver.received
        assert verified(received, old) == verified(received, rotated.secret)
        post.clock.advance(days=1)
        await carla.ask(TestWebhook(webhook_id=webhook.id))
        await post.work()
        assert len(receiver.received[1].headers["webhook-signature"].split()) == 1
        assert rotated.without_secrets().secret is None


async def test_a_test_is_sent_and_tried_once(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving() as receiver:
        webhook, secret = await post.webhook(carla, receiver, kinds=("payout.sent",))
        asked = await carla.ask(TestWebhook(webhook_id=webhook.id))
        assert (asked.state, asked.kind) == ("pending", "webhook.test")
        await post.work()
        assert verified(receiver.received[0], secret)["type"] == "webhook.test"
        assert receiver.received[0].headers["webhook-id"] == asked.event_id == asked.id
        receiver.behaviour = answering(500)
        await carla.ask(TestWebhook(webhook_id=webhook.id))
        await post.work()
        assert [one.state.value for one in await post.deliveries(carla, webhook)].count("failed") == 1
        page = await carla.ask(ListWebhookDeliveries(webhook_id=webhook.id, state=None, limit=1))
        rest = await carla.ask(ListWebhookDeliveries(webhook_id=webhook.id, limit=1, cursor=page.next))
        assert len({page.items[0].id, rest.items[0].id}) == 2
        assert rest.next is None


async def test_there_is_one_test_at_a_time_however_many_are_asked_for_at_once(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving() as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        other, _ = await post.webhook(carla, receiver)
        outcomes: list[str] = []

        async def ask() -> None:
            try:
                outcomes.append((await carla.ask(TestWebhook(webhook_id=webhook.id))).state)
            except DeliveryPending as error:
                outcomes.append(error.code)

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask)
        assert sorted(outcomes) == [*["delivery_pending"] * 7, "pending"]
        await carla.ask(TestWebhook(webhook_id=other.id))
        await post.work()
        assert len(receiver.received) == 2
        await carla.ask(TestWebhook(webhook_id=webhook.id))
        await post.process.mongo.collection("notification_deliveries").delete_many({})  # as after thirty days
        await carla.ask(TestWebhook(webhook_id=webhook.id))


async def test_what_is_sent_again_has_the_same_id_and_content(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving() as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        await post.tell(carla, "1")
        await post.work()
        (delivery,) = await post.deliveries(carla, webhook)
        again = RedeliverWebhook(webhook_id=webhook.id, delivery_id=delivery.id)
        assert await all_at_once([(carla, again)] * 5) == {"done": 1, "delivery_pending": 4}
        await post.work()
        first, second = receiver.received
        assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
        assert [one.outcome for one in (await post.deliveries(carla, webhook))[0].attempts] == ["200", "200"]
        await carla.ask(DisableWebhook(webhook_id=webhook.id))
        assert await raised(carla, again) == "webhook_disabled"
        assert await raised(carla, TestWebhook(webhook_id=webhook.id)) == "webhook_disabled"


async def test_there_are_ten_at_most_however_many_are_made_at_once(post: Post, mongo: Mongo) -> None:
    carla = await post.person("carla")
    async with open_post(mongo) as other:
        there = await other.person("carla")
        asks = [(person, CreateWebhook(url="https://example.com/hook")) for person in (carla, there) for _ in range(8)]
        assert await all_at_once(asks) == {"done": 10, "too_many_webhooks": 6}
    webhooks = (await carla.ask(ListWebhooks())).items
    assert len({one.id for one in webhooks}) == 10
    await carla.ask(DeleteWebhook(webhook_id=webhooks[3].id))
    assert await raised(carla, CreateWebhook(url="https://example.com/hook")) == "done"


async def test_other_peoples_webhooks_and_deliveries_do_not_exist(post: Post) -> None:
    carla, eve = await post.person("carla"), await post.person("eve")
    async with receiving() as receiver:
        webhook, _ = await post.webhook(carla, receiver)
        evil, _ = await post.webhook(eve, receiver)
        await post.tell(carla, "1")
        await post.work()
    (delivery,) = await post.deliveries(carla, webhook)
    for message in (
        GetWebhook(webhook_id=webhook.id),
        UpdateWebhook(webhook_id=webhook.id, description="Eve's"),
        DeleteWebhook(webhook_id=webhook.id),
        RotateWebhookSecret(webhook_id=webhook.id),
        EnableWebhook(webhook_id=webhook.id),
        DisableWebhook(webhook_id=webhook.id),
        TestWebhook(webhook_id=webhook.id),
        ListWebhookDeliveries(webhook_id=webhook.id),
        GetWebhookDelivery(webhook_id=webhook.id, delivery_id=delivery.id),
        RedeliverWebhook(webhook_id=webhook.id, delivery_id=delivery.id),
        GetWebhookDelivery(webhook_id=evil.id, delivery_id=delivery.id),
        RedeliverWebhook(webhook_id=evil.id, delivery_id=delivery.id),
    ):
        assert await raised(eve, message) == "not_found", message
    assert await raised(eve, SendWebhook(delivery_id=delivery.id)) == "forbidden"
    assert (await eve.ask(ListWebhooks())).items == (evil,)
    assert (await current(carla, webhook)).description is None


async def test_the_suspended_can_stop_their_webhooks_and_not_make_any(post: Post) -> None:
    carla = await post.person("carla")
    made = await carla.ask(CreateWebhook(url="https://example.com/hook"))
    principal = Principal(carla.user_id, "carla", suspended=True)
    suspended = post.process.system.context(request_id="r", principal=principal)
    webhook_id = made.webhook.id
    refused = (CreateWebhook(url="https://example.com/x"), EnableWebhook(webhook_id=webhook_id))
    assert [await raised(suspended, message) for message in refused] == ["account_suspended"] * 2
    assert await raised(suspended, DisableWebhook(webhook_id=webhook_id)) == "done"
    assert await raised(suspended, DeleteWebhook(webhook_id=webhook_id)) == "done"


async def test_secrets_are_sealed_at_rest_and_shown_once(post: Post, mongo: Mongo) -> None:
    carla = await post.person("carla")
    made = await carla.ask(CreateWebhook(url="https://example.com/hook"))
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    row = await mongo.collection("webhooks").find_one({"_id": made.webhook.id})
    assert row is not None
    assert made.secret not in str(row)
    assert made.secret not in str(await carla.ask(GetWebhook(webhook_id=made.webhook.id)))
    assert made.without_secrets().secret is None


@pytest.mark.parametrize("url", ["https://169.254.169.254/", "http://example.com/", "https://u:p@example.com/", "x"])
async def test_an_address_that_must_not_be_called_is_refused_where_it_is_named(post: Post, url: str) -> None:
    carla = await post.person("carla")
    made = await carla.ask(CreateWebhook(url="https://example.com/hook"))
    for message in (CreateWebhook(url=url), UpdateWebhook(webhook_id=made.webhook.id, url=url)):
        with pytest.raises(Invalid) as refused:
            await carla.ask(message)
        assert [(error.code, error.pointer) for error in refused.value.errors] == [("url_refused", "/url")]
