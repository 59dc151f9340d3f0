"""What somebody is told goes to their webhooks: recorded in the same transaction, and a job for each."""

from __future__ import annotations

from promptforge.actors.notifications.deliveries.store import DeliveryStore
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.notifications.webhooks.domain import WEBHOOK_DISABLED, Webhook
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
            if not webhook.enabled:
                if webhook.notes_missed(tx.now()):
                    await self._record_missed(told_id, webhook, message, tx)
                continue
            made = await self._deliveries.record(
                told_id, webhook.id, user_id=message.user_id, kind=message.kind, now=tx.now(), session=tx.session
            )
            await tx.enqueue(
                SendWebhook(delivery_id=made.id, webhook_id=webhook.id), owner_id=webhook.id, job_id=made.job_id
            )

    async def _record_missed(self, told_id: str, webhook: Webhook, message: NotifyUser, tx: Context) -> None:
        """Nothing is sent, and it can be once the webhook is enabled again."""
        await self._deliveries.record_skipped(
            told_id,
            webhook.id,
            user_id=message.user_id,
            kind=message.kind,
            reason=WEBHOOK_DISABLED,
            now=tx.now(),
            session=tx.session,
        )
