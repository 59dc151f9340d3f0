"""What this feature tells people through notifications."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.amounts import from_millicredits


def credits_granted(journal_id: str, user_id: str, amount: int, reason: str) -> NotifyUser:
    """Told once per journal, however often it is enqueued."""
    credits = from_millicredits(amount)
    return _of_credits(
        "credits.granted",
        journal_id,
        user_id,
        title=f"{credits} credits are yours",
        body=f"{reason}: {credits} credits were added to your account.",
    )


def credits_expiring(lot: str, user_id: str, left: int, expires_at: datetime) -> NotifyUser:
    credits = from_millicredits(left)
    return _of_credits(
        "credits.expiring",
        lot,
        user_id,
        title=f"{credits} credits expire soon",
        body=f"{credits} credits that you were given expire on {expires_at:%Y-%m-%d}. They are spent before others.",
    )


def credits_expired(journal_id: str, user_id: str, credits: str) -> NotifyUser:
    return _of_credits(
        "credits.expired",
        journal_id,
        user_id,
        title=f"{credits} credits have expired",
        body=f"{credits} credits that you were given were not spent in time.",
    )


def credits_taken_back(journal_id: str, user_id: str, why: str, *, taken: int, owed: int) -> NotifyUser:
    """`owed`: how many of `taken` were not there any more, and are a debt now. Millicredits."""
    debt = f" {_owes(owed)}" if owed else ""
    return _of_credits(
        "credits.taken_back",
        journal_id,
        user_id,
        title=f"{from_millicredits(taken)} credits were taken back",
        body=f"{why}, so the {from_millicredits(taken)} credits that it brought were taken back.{debt}",
    )


def credits_given_back(journal_id: str, user_id: str, given: int, why: str) -> NotifyUser:
    return _of_credits(
        "credits.given_back",
        journal_id,
        user_id,
        title=f"{from_millicredits(given)} credits are yours again",
        body=f"{why}, so {from_millicredits(given)} credits that had been taken back are yours again.",
    )


def credits_owed(journal_id: str, user_id: str, owed: int, why: str) -> NotifyUser:
    """Told where something was taken from somebody who had not got it any more."""
    return _of_credits(
        "credits.owed",
        journal_id,
        user_id,
        title=f"You owe {from_millicredits(owed)} credits",
        body=f"{why}. {_owes(owed)}",
    )


def credits_frozen(topup_id: str, user_id: str, frozen: int, dispute_id: str) -> NotifyUser:
    body = "The payment that brought them is disputed: they cannot be spent until that is decided."
    return _of_credits(
        "credits.frozen",
        topup_id,
        user_id,
        title=f"{from_millicredits(frozen)} credits are frozen",
        body=body,
        key=dispute_id,
    )


def credits_thawed(topup_id: str, user_id: str, thawed: int, dispute_id: str) -> NotifyUser:
    return _of_credits(
        "credits.thawed",
        topup_id,
        user_id,
        title=f"{from_millicredits(thawed)} credits can be spent again",
        body="The dispute of the payment that brought them is closed.",
        key=dispute_id,
    )


def _owes(owed: int) -> str:
    credits = from_millicredits(owed)
    return f"{credits} credits had been spent, and you owe them: what you buy or earn next pays them first."


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


def bank_details_changed(user_id: str, bank: str) -> NotifyUser:
    return NotifyUser(
        user_id=user_id,
        kind="connect.bank_details",
        title="Your bank details have changed",
        body="Payouts wait until the new bank details are older. If you have not changed them, secure your account.",
        subject={},
        dedupe_key=f"connect.bank_details:{user_id}:{bank}",
    )


def payout_sent(payout_id: str, user_id: str, money: str) -> NotifyUser:
    return _of_payout(
        "payout.sent",
        payout_id,
        user_id,
        title=f"{money} are on their way",
        body=f"Stripe has {money} for your bank account.",
    )


def payout_returned(payout_id: str, user_id: str, credits: str, reason: str) -> NotifyUser:
    body = f"Nothing was paid out: {reason}. {credits} credits are yours again."
    return _of_payout("payout.returned", payout_id, user_id, title="A payout was refused", body=body)


def payout_reversed(payout_id: str, user_id: str, credits: str, reversed_so_far: int) -> NotifyUser:
    """`reversed_so_far` names this reversal among those of its payout."""
    body = f"Money of a payout was taken back. {credits} credits are yours again."
    told = _of_payout("payout.reversed", payout_id, user_id, title="A payout was reversed", body=body)
    return replace(told, dedupe_key=f"{told.dedupe_key}:{reversed_so_far}")


def payout_held(payout_id: str, user_id: str, reason: str, moment: datetime) -> NotifyUser:
    told = _of_payout(
        "payout.held", payout_id, user_id, title="A payout is on hold", body=f"We look at it first: {reason}"
    )
    return replace(told, dedupe_key=f"{told.dedupe_key}:{moment.isoformat()}")


def _of_credits(
    kind: str, journal_id: str, user_id: str, *, title: str, body: str, key: str | None = None
) -> NotifyUser:
    """`key` is what it is told once of, where that is not the journal."""
    return NotifyUser(
        user_id=user_id,
        kind=kind,
        title=title,
        body=body,
        subject={"journal_id": journal_id},
        dedupe_key=f"{kind}:{key or journal_id}",
    )


def _of_payout(kind: str, payout_id: str, user_id: str, *, title: str, body: str) -> NotifyUser:
    return NotifyUser(
        user_id=user_id,
        kind=kind,
        title=title,
        body=body,
        subject={"payout_id": payout_id},
        dedupe_key=f"{kind}:{payout_id}",
    )
