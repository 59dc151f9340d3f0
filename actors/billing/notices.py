"""What this feature tells people through notifications."""

from __future__ import annotations

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.amounts import from_millicredits


def credits_granted(journal_id: str, user_id: str, amount: int, reason: str) -> NotifyUser:
    """Told once per journal, however often it is enqueued."""
    credits = from_millicredits(amount)
    return NotifyUser(
        user_id=user_id,
        kind="credits.granted",
        title=f"{credits} credits are yours",
        body=f"{reason}: {credits} credits were added to your account.",
        subject={"journal_id": journal_id},
        dedupe_key=f"credits.granted:{journal_id}",
    )


def payment_failed(invoice_id: str, user_id: str, subscription_id: str) -> NotifyUser:
    """Told once per invoice, however often Stripe tries to collect it."""
    return NotifyUser(
        user_id=user_id,
        kind="subscription.payment_failed",
        title="Your subscription could not be paid",
        body="Your card was declined. It will be tried again; in the billing portal you can give another one.",
        subject={"subscription_id": subscription_id},
        dedupe_key=f"subscription.payment_failed:{invoice_id}",
    )
