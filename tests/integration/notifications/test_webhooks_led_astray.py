"""Webhooks whose names lead elsewhere by the time something is sent, as their owners see it: nothing inner is met."""

from __future__ import annotations

import pytest

from promptforge.actors.notifications.webhooks.messages import CreateWebhook, SendWebhook, WebhookView
from promptforge.actors.notifications.webhooks.sending import WebhookSendingActor
from promptforge.core.context import Context
from promptforge.core.egress import Outward, UrlPolicy
from tests.integration.notifications.post import Post
from tests.support.receiver import answering, receiving

pytestmark = pytest.mark.anyio


def send_by(post: Post, *addresses: str) -> None:
    """From now on each name has these addresses, and nothing inner is excepted."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    actor = post.process.system.bindings[SendWebhook].cell.actor
    assert isinstance(actor, WebhookSendingActor)
    actor._outward = Outward(UrlPolicy(), resolve=resolve)


async def outcomes(post: Post, person: Context, webhook: WebhookView) -> list[str]:
    (delivery,) = await post.deliveries(person, webhook)
    return [one.outcome for one in delivery.attempts]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "100.64.0.1"],
)
async def test_a_name_that_has_come_to_mean_an_inner_address_is_not_connected_to(post: Post, address: str) -> None:
    carla = await post.person("carla")
    async with receiving() as inner:
        made = await carla.ask(CreateWebhook(url=f"https://receiver.example:{inner.port}/"))
        send_by(post, "93.184.216.34", address)
        await post.tell(carla, "1")
        await post.work()
        assert await outcomes(post, carla, made.webhook) == ["address_refused"]
        assert inner.connections == 0


async def test_a_receiver_that_sends_elsewhere_has_failed_and_nobody_goes_there(post: Post) -> None:
    carla = await post.person("carla")
    async with receiving() as inner:
        for status in (301, 302, 303, 307, 308):
            async with receiving(answering(status, headers=f"location: {inner.url}\r\n")) as receiver:
                webhook, _ = await post.webhook(carla, receiver)
                await post.tell(carla, str(status))
                await post.work()
                assert await outcomes(post, carla, webhook) == [str(status)]
        assert inner.connections == 0
