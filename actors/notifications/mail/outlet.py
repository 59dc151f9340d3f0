"""What somebody is told goes to their mail: recorded in the same transaction, with a job."""

from __future__ import annotations

from promptforge.actors.notifications.deliveries.domain import MAIL
from promptforge.actors.notifications.deliveries.store import DeliveryStore
from promptforge.actors.notifications.kinds import kind_of
from promptforge.actors.notifications.mail.messages import SendMail
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.context import Context


class MailOutlet:
    """Only where there is a mail server."""

    def __init__(self, deliveries: DeliveryStore) -> None:
        self._deliveries = deliveries

    async def record(self, told_id: str, message: NotifyUser, tx: Context) -> None:
        """Whether its reader wants it by mail is asked when it is sent."""
        if kind_of(message.kind).never_mailed:
            return
        made = await self._deliveries.record(
            told_id, MAIL, user_id=message.user_id, kind=message.kind, now=tx.now(), session=tx.session
        )
        await tx.enqueue(SendMail(delivery_id=made.id), owner_id=message.user_id, job_id=made.job_id)
