"""What tells people things, put together: the list, the channels' senders, and what they send with."""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.notifications import (
    NotificationsActor,
    PreferencesActor,
    StreamActor,
    WebhooksActor,
    WebhookSendingActor,
)
from promptforge.actors.notifications import store as notifications
from promptforge.actors.notifications.deliveries import store as deliveries
from promptforge.actors.notifications.preferences import store as preferences
from promptforge.actors.notifications.stream import store as tickets
from promptforge.actors.notifications.webhooks import store as webhooks
from promptforge.actors.notifications.webhooks.gate import PLACES
from promptforge.actors.notifications.webhooks.outlet import WebhookOutlet
from promptforge.core.egress import Outward, UrlPolicy
from promptforge.core.jobs import Queue, Sealer
from promptforge.core.mongo import Change, ChangeFeed, Index, Mongo
from promptforge.core.runtime import Actor
from promptforge.deploy.settings import Settings
from promptforge.http.bells import Bells

INDEXES: dict[str, tuple[Index, ...]] = {
    **notifications.INDEXES,
    **preferences.INDEXES,
    **deliveries.INDEXES,
    **webhooks.INDEXES,
    **tickets.INDEXES,
}
QUEUES = (Queue("webhooks", concurrency=PLACES, fair=True),)


def build_actors(mongo: Mongo, settings: Settings, secrets: Sequence[str]) -> list[Actor]:
    """`secrets`: the roots of keys; without them no webhook can be made."""
    told, chosen = notifications.NotificationStore(mongo), preferences.PreferenceStore(mongo)
    sent, receivers = deliveries.DeliveryStore(mongo), webhooks.WebhookStore(mongo)
    sealer = Sealer(secrets, purpose=b"promptforge webhooks v1")
    policy = UrlPolicy(frozenset(host.lower() for host in settings.webhook_local_hosts))
    return [
        NotificationsActor(told, chosen, [WebhookOutlet(receivers, sent)]),
        PreferencesActor(chosen),
        StreamActor(told, tickets.TicketStore(mongo)),
        WebhooksActor(receivers, sent, sealer, policy=policy),
        WebhookSendingActor(receivers, sent, told, chosen, sealer=sealer, outward=Outward(policy)),
    ]


def bells_of(feed: ChangeFeed) -> Bells:
    """Rung when somebody is told something, in whichever process that is."""
    bells = Bells()

    def told(change: Change) -> None:
        if change.document is not None:
            bells.ring(change.document["user_id"])

    feed.subscribe(notifications.NOTIFICATIONS, told, only={"operationType": "insert"})
    feed.on_gap(bells.ring_all)
    return bells
