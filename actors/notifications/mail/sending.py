"""Makes the attempts, and records them.

What is recorded of an attempt is committed after the mail server took it. A process that ends in between sends the same
mail once more, with the same Message-ID, by which mail programs show it once.
"""

from __future__ import annotations

import time
from email.headerregistry import Address
from random import Random

import structlog

from promptforge.actors.notifications.deliveries.domain import Attempt, Delivery
from promptforge.actors.notifications.deliveries.messages import DeliveryState
from promptforge.actors.notifications.deliveries.store import DeliveryStore
from promptforge.actors.notifications.kinds import kind_of
from promptforge.actors.notifications.mail.bounces import told_of_bounce
from promptforge.actors.notifications.mail.domain import DELAYS_SECONDS, address_of
from promptforge.actors.notifications.mail.messages import SendMail
from promptforge.actors.notifications.mail.smtp import Handed, Mailer, Outcome
from promptforge.actors.notifications.mail.store import Bounce, BounceStore
from promptforge.actors.notifications.mail.writing import MailWriter
from promptforge.actors.notifications.messages import NotificationView
from promptforge.actors.notifications.preferences.domain import carries
from promptforge.actors.notifications.preferences.messages import Channel
from promptforge.actors.notifications.preferences.store import PreferenceStore
from promptforge.actors.notifications.store import NotificationStore
from promptforge.actors.users.messages import Contact, GetContact
from promptforge.core.breaker import Breaker
from promptforge.core.context import Context
from promptforge.core.failpoints import reach
from promptforge.core.jobs import Snooze
from promptforge.core.runtime import Actor, handles

PLACES = 8
log = structlog.get_logger(__name__)


class MailSendingActor(Actor):
    """Without a mailer nothing is recorded to be mailed; what was recorded before waits for there to be one."""

    name = "mail_sending"
    asks = ("users",)
    workers = PLACES

    def __init__(
        self,
        deliveries: DeliveryStore,
        notifications: NotificationStore,
        preferences: PreferenceStore,
        bounces: BounceStore,
        *,
        mailer: Mailer | None,
        writer: MailWriter | None,
        sender: str = "",
    ) -> None:
        self._deliveries = deliveries
        self._notifications = notifications
        self._preferences = preferences
        self._bounces = bounces
        self._mailer = mailer
        self._writer = writer
        self._sender = sender
        self._rng = Random()  # noqa: S311  # jitter only
        self._breaker = Breaker(time.monotonic)

    @handles(SendMail)
    async def send(self, message: SendMail, context: Context) -> None:
        job_id = None if context.job is None else context.job.job_id
        delivery = await self._deliveries.find_to_send(message.delivery_id, job_id)
        if delivery is None:
            return
        if self._mailer is None or self._writer is None:
            raise Snooze(3600.0, "SMTP_URL is not set")
        told = await self._notifications.find_told(delivery.event_id)
        contact = await context.ask(GetContact(user_id=delivery.user_id))
        to = address_of(contact.email, contact.display_name) if contact is not None else None
        why_not = await self._why_not(delivery, contact, to)
        if told is None or to is None or why_not is not None:
            reason = why_not or "notification_deleted"
            await self._deliveries.end(
                delivery.id, DeliveryState.SKIPPED, reason=reason, attempt=None, now=context.now()
            )
            return
        started = time.monotonic()
        handed = await self._hand(self._mailer, self._writer, (told, delivery, to))
        reach("notifications.mail.sent")
        attempt = Attempt(context.now(), handed.code, round((time.monotonic() - started) * 1000))
        await self._record(delivery, context, handed=handed, attempt=attempt, to=to)

    async def _why_not(self, delivery: Delivery, contact: Contact | None, to: Address | None) -> str | None:
        """Judged when it is sent. The suspended still hear by mail what they must be told."""
        kind = kind_of(delivery.kind)
        if contact is None or (contact.suspended and not kind.mandatory):
            return "account_suspended"
        if to is None:
            return "no_address"
        bounce = await self._bounces.find(delivery.user_id)
        if bounce is not None and bounce.address == to.addr_spec:
            return "address_bounced"
        chosen = await self._preferences.chosen_by(delivery.user_id)
        return None if carries(Channel.EMAIL, kind, chosen) else "not_wanted"

    async def _hand(
        self, mailer: Mailer, writer: MailWriter, what: tuple[NotificationView, Delivery, Address]
    ) -> Handed:
        """Raises `Snooze` while the mail server is left alone."""
        left = self._breaker.admit()
        if left is not None:
            raise Snooze(left * self._rng.uniform(1.0, 1.5), "the mail server does not answer at the moment")
        told, delivery, to = what
        try:
            handed = await mailer.hand(writer.write(told, delivery, to), sender=self._sender, to=to.addr_spec)
            if handed.server_fails:
                self._breaker.failed()
                log.warning("mail.server_fails", delivery_id=delivery.id, code=handed.code)
            else:
                self._breaker.succeeded()
        finally:
            self._breaker.neither()
        return handed

    async def _record(
        self, delivery: Delivery, context: Context, *, handed: Handed, attempt: Attempt, to: Address
    ) -> None:
        if handed.outcome is Outcome.UNAVAILABLE and delivery.failures < len(DELAYS_SECONDS):
            await self._deliveries.note_attempt(delivery.id, attempt, failed=True)
            raise Snooze(DELAYS_SECONDS[delivery.failures] * self._rng.uniform(0.8, 1.2), handed.code)
        sent = handed.outcome is Outcome.SENT

        async def work(tx: Context) -> None:
            await self._deliveries.end(
                delivery.id,
                DeliveryState.DELIVERED if sent else DeliveryState.FAILED,
                reason=None if sent else handed.outcome.value,
                attempt=attempt,
                now=attempt.at,
                sent_to=to.addr_spec if sent else None,
                session=tx.session,
            )
            if handed.outcome is Outcome.BOUNCED:
                bounce = Bounce(to.addr_spec, handed.code)
                await self._bounces.note(delivery.user_id, bounce, now=attempt.at, session=tx.session)
                await tx.enqueue(told_of_bounce(delivery, bounce), owner_id=delivery.user_id)

        await context.transaction(work, completes=True)
