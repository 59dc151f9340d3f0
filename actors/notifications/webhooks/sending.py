"""Makes the attempts: signed by Standard Webhooks, to an address that was checked, and recorded.

What is recorded of an attempt is committed after the request. A process that ends in between leaves the delivery
pending and its job to be rescued, so the receiver gets the same once more, with the same `webhook-id`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from random import Random

from standardwebhooks import Webhook as Signer

from promptforge.actors.notifications.deliveries.domain import Attempt, Delivery
from promptforge.actors.notifications.deliveries.messages import DeliveryState
from promptforge.actors.notifications.deliveries.store import DeliveryStore
from promptforge.actors.notifications.kinds import kind_of
from promptforge.actors.notifications.messages import NotificationView, NotifyUser
from promptforge.actors.notifications.preferences.domain import carries
from promptforge.actors.notifications.preferences.messages import Channel
from promptforge.actors.notifications.preferences.store import PreferenceStore
from promptforge.actors.notifications.store import NotificationStore
from promptforge.actors.notifications.webhooks.domain import (
    TO_THE_NEW,
    WEBHOOK_DISABLED,
    Webhook,
    outcome_of,
    payload_of,
    verdict_of,
)
from promptforge.actors.notifications.webhooks.gate import PLACES, Gate
from promptforge.actors.notifications.webhooks.messages import SendWebhook
from promptforge.actors.notifications.webhooks.store import WebhookStore
from promptforge.actors.partnerships.apps.messages import FindAppStanding
from promptforge.actors.users.messages import GetContact
from promptforge.core.context import Context
from promptforge.core.egress import Answer, Outward
from promptforge.core.failpoints import reach
from promptforge.core.jobs import Sealer, Snooze
from promptforge.core.runtime import Actor, handles

TIMEOUT_SECONDS = 15.0
_WORDS = {
    "gone": "It answered 410 (Gone), which means that it wants no more.",
    "failing": "Nothing has got through to it for the most of a day.",
}


class WebhookSendingActor(Actor):
    """`timeout_seconds` is for one request, from its name's resolution to the answer's head."""

    name = "webhook_sending"
    asks = ("partner_apps", "users")
    workers = PLACES

    def __init__(
        self,
        webhooks: WebhookStore,
        deliveries: DeliveryStore,
        notifications: NotificationStore,
        preferences: PreferenceStore,
        *,
        sealer: Sealer,
        outward: Outward,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._notifications = notifications
        self._preferences = preferences
        self._sealer = sealer
        self._outward = outward
        self._timeout_seconds = timeout_seconds
        self._rng = Random()  # noqa: S311  # jitter only
        self._gate = Gate(time.monotonic, self._rng)

    async def stop(self) -> None:
        await self._outward.close()

    @handles(SendWebhook)
    async def send(self, message: SendWebhook, context: Context) -> None:
        job_id, snoozed = (None, 0) if context.job is None else (context.job.job_id, context.job.snoozed)
        if message.webhook_id is not None:
            self._gate.check(message.webhook_id, snoozed=snoozed)
        delivery = await self._deliveries.find_to_send(message.delivery_id, job_id)
        if delivery is None:
            return
        webhook = await self._webhooks.find(delivery.channel)
        told = await self._notifications.find_told(delivery.event_id)
        secrets = self._secrets_of(webhook, context.now()) if webhook is not None else []
        why_not = await self._why_not(delivery, webhook, told, context)
        if webhook is None or why_not is not None or not secrets:
            reason = why_not or "secret_lost"
            await self._deliveries.end(
                delivery.id, DeliveryState.SKIPPED, reason=reason, attempt=None, now=context.now()
            )
            return
        failing = webhook.failing_since is not None
        with self._gate.entered(webhook.id, owner=webhook.user_id, failing=failing, snoozed=snoozed) as breaker:
            payload = payload_of(delivery, told)
            headers = _signed(delivery.event_id, payload, secrets, context.now())
            answer = await self._outward.post(webhook.url, headers, payload, timeout_seconds=self._timeout_seconds)
            if answer.status is None:
                breaker.failed()
            else:
                breaker.succeeded()
        reach("notifications.webhook.sent")
        await self._record(delivery, webhook, answer, context)

    async def _why_not(
        self, delivery: Delivery, webhook: Webhook | None, told: NotificationView | None, context: Context
    ) -> str | None:
        """Judged now, and not when it happened: a choice counts for all that has not left yet."""
        if webhook is None:
            return "webhook_deleted"
        if not webhook.enabled:
            return WEBHOOK_DISABLED
        contact = await context.ask(GetContact(user_id=delivery.user_id))
        if contact is None or contact.suspended:
            return "account_suspended"
        if webhook.app_id is not None:
            app = await context.ask(FindAppStanding(app_id=webhook.app_id, owner_id=webhook.user_id))
            if app is None or webhook.app_generation < app.webhooks_from:
                return "app_stopped"
        if not delivery.is_test:
            return await self._unwanted(delivery, webhook, told)
        return None

    async def _unwanted(self, delivery: Delivery, webhook: Webhook, told: NotificationView | None) -> str | None:
        if told is None:
            return "notification_deleted"
        chosen = await self._preferences.chosen_by(delivery.user_id)
        if not webhook.wants(delivery.kind) or not carries(Channel.WEBHOOK, kind_of(delivery.kind), chosen):
            return "not_wanted"
        return None

    def _secrets_of(self, webhook: Webhook, now: datetime) -> list[str]:
        """The present one first; none where no SECRET_KEY opens them any more."""
        sealed = [webhook.secret]
        if webhook.old_secret is not None and webhook.old_secret_until is not None and now < webhook.old_secret_until:
            sealed.append(webhook.old_secret)
        opened = [self._sealer.unseal(one) for one in sealed]
        return [one.decode() for one in opened if one is not None]

    async def _record(self, delivery: Delivery, webhook: Webhook, answer: Answer, context: Context) -> None:
        """`webhook` as it was called: it may have another address by now, of which the answer says nothing."""
        now = context.now()
        attempt = Attempt(now, outcome_of(answer), round(answer.seconds * 1000))
        moved = False
        if not answer.ok:
            await self._webhooks.note_failed(webhook, now=now, session=None)
            present = await self._webhooks.find(webhook.id) or webhook
            moved = present.url != webhook.url
            webhook = replace(present, url=webhook.url)
        verdict = TO_THE_NEW if moved else verdict_of(answer, delivery, webhook, now=now, rng=self._rng)
        if verdict.retry_seconds is not None:
            await self._deliveries.note_attempt(delivery.id, attempt, failed=True)
            raise Snooze(verdict.retry_seconds, f"The receiver: {attempt.outcome}")  # no failure of ours

        async def work(tx: Context) -> None:
            await self._deliveries.end(
                delivery.id, verdict.state, reason=None, attempt=attempt, now=now, session=tx.session
            )
            if answer.ok:
                await self._webhooks.note_delivered(webhook, now=now, session=tx.session)
            if verdict.disable is not None:
                await self._disable(webhook, verdict.disable, delivery, tx)

        await context.transaction(work, completes=True)

    async def _disable(self, webhook: Webhook, reason: str, delivery: Delivery, tx: Context) -> None:
        """Once, with one notice to its owner, however many deliveries find out at the same time."""
        if not await self._webhooks.disable(webhook, reason, now=tx.now(), session=tx.session):
            return
        notice = NotifyUser(
            user_id=webhook.user_id,
            kind="webhook.disabled",
            title="A webhook was disabled",
            body=f"{_WORDS[reason]} Nothing more is sent to {webhook.url} until you enable it again. What it missed "
            "can be sent again from its deliveries.",
            subject={"webhook_id": webhook.id, "reason": reason},
            dedupe_key=f"webhook.disabled:{delivery.id}:{tx.now().isoformat()}",
        )
        await tx.enqueue(notice, owner_id=webhook.user_id)


def _signed(event_id: str, payload: bytes, secrets: Iterable[str], now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks, with a signature by each secret."""
    text = payload.decode()
    return {
        "content-type": "application/json",
        "user-agent": "PromptForge-Webhooks/1",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Signer(secret).sign(event_id, now, text) for secret in secrets),
    }
