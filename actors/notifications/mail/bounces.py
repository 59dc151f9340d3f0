"""What is told, where it can still be read, when an address turns out to take no mail."""

from __future__ import annotations

from promptforge.actors.notifications.deliveries.domain import Delivery
from promptforge.actors.notifications.mail.store import Bounce
from promptforge.actors.notifications.messages import NotifyUser


def told_of_bounce(delivery: Delivery, bounce: Bounce) -> NotifyUser:
    return NotifyUser(
        user_id=delivery.user_id,
        kind="email.bounced",
        title="Your email address takes no mail",
        body=f"A mail to {bounce.address} came back for good, so nothing more is sent there. Once it takes mail again, "
        "turn email on again in your settings, or sign in with another address.",
        subject={},
        dedupe_key=f"email.bounced:{delivery.id}",
    )
