"""What somebody is told goes to their webhooks: recorded in the same transaction, and a job for each."""

from __future__ import annotations

from promptforge.actors.notifications.deliveries.store import DeliveryStore
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.notifications.webhooks.messages import SendWebhook
from promptforge.actors.notifications.webhooks.store import WebhookStore, Whose
from promptforge.core.context import Context


class WebhookOutlet:
    def __init__(self, webhooks: WebhookStore, deliveries: DeliveryStore) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries

    async def record(self, told_id: str, message: NotifyUser, tx: Context) -> None:
        """Whether its owner wants it there is asked when it is sent."""
        for webhook in await self._webhooks.list_of(Whose(message.user_id), session=tx.session):
            if not webhook.wants(message.kind):
                continue
            made = await self._deliveries.record(
                told_id, webhook.id, user_id=message.user_id, kind=message.kind, now=tx.now(), session=tx.session
            )
            await tx.enqueue(SendWebhook(delivery_id=made.id), owner_id=webhook.id, job_id=made.job_id)
