"""What this feature tells people through notifications."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from promptforge.actors.billing.payouts.messages import HoldReason
from promptforge.actors.billing.payouts.reasons import HOLDS, REFUSED, RETURNED, REVERSED, WAITS
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.amounts import from_millicredits
from promptforge.core.reasons import Stated, explained

PAYMENT_REFUNDED, PAYMENT_DISPUTED = "payment_refunded", "payment_disputed"
SALE_REFUNDED, SALE_UNDONE = "sale_refunded", "sale_undone"
_WHY_TAKEN = {
    PAYMENT_REFUNDED: Stated(
        "A payment of yours was refunded.",
        "The money is on its way to where it came from, so this cannot be appealed. Credits can be bought again.",
    ),
    PAYMENT_DISPUTED: Stated(
        "A payment of yours was disputed.",
        "Your bank decides about the dispute, so it cannot be appealed here. If it is a mistake, withdraw it there: "
        "where it is decided for us, the credits are yours again.",
    ),
}
_WHY_FROZEN = Stated(
    "The payment that brought them is disputed.",
    "Your bank decides about the dispute, so it cannot be appealed here. If it is a mistake, withdraw it there: once "
    "it is closed for us, the credits can be spent again.",
)
_WHY_OWED = {
    SALE_REFUNDED: Stated(
        "A sale of yours was refunded.",
        "What you buy or earn next pays it first. If a moderator granted the refund, you can appeal that "
        "(POST /marketplace/sales/{id}/refund/appeal).",
    ),
    SALE_UNDONE: Stated(
        "A sale of yours was undone, because its payment was refunded or disputed.",
        "What you buy or earn next pays it first. It is the payment that decides this, so it cannot be appealed here.",
    ),
}


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


def credits_taken_back(journal_id: str, user_id: str, code: str, *, taken: int, owed: int) -> NotifyUser:
    """`owed`: how many of `taken` were not there any more, and are a debt now. Millicredits."""
    amount = from_millicredits(taken)
    debt = f" {_owes(owed)}" if owed else ""
    return _of_credits(
        "credits.taken_back",
        journal_id,
        user_id,
        title=f"{amount} credits were taken back",
        body=f"The {amount} credits that a payment brought were taken back.{debt}\n\n{_WHY_TAKEN[code].told(code)}",
        code=code,
    )


def credits_given_back(journal_id: str, user_id: str, given: int, why: str) -> NotifyUser:
    return _of_credits(
        "credits.given_back",
        journal_id,
        user_id,
        title=f"{from_millicredits(given)} credits are yours again",
        body=f"{why}, so {from_millicredits(given)} credits that had been taken back are yours again.",
    )


def credits_owed(journal_id: str, user_id: str, owed: int, code: str) -> NotifyUser:
    """Told where something was taken from somebody who had not got it any more."""
    return _of_credits(
        "credits.owed",
        journal_id,
        user_id,
        title=f"You owe {from_millicredits(owed)} credits",
        body=f"{_owes(owed)}\n\n{_WHY_OWED[code].told(code)}",
        code=code,
    )


def credits_frozen(topup_id: str, user_id: str, frozen: int, dispute_id: str) -> NotifyUser:
    return _of_credits(
        "credits.frozen",
        topup_id,
        user_id,
        title=f"{from_millicredits(frozen)} credits are frozen",
        body=f"They cannot be spent until that is decided.\n\n{_WHY_FROZEN.told(PAYMENT_DISPUTED)}",
        key=dispute_id,
        code=PAYMENT_DISPUTED,
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
    code = "bank_details_too_new"
    return NotifyUser(
        user_id=user_id,
        kind="connect.bank_details",
        title="Your bank details have changed",
        body=f"Payouts wait.\n\n{explained(code, 'They wait until the new bank details are older.', WAITS[code])}",
        subject={"reason_code": str(code)},
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
    head = f"Nothing was paid out. {credits} credits are yours again."
    body = f"{head}\n\n{explained(REFUSED, f'{reason}.', RETURNED)}"
    return _of_payout("payout.returned", payout_id, user_id, title="A payout was refused", body=body, code=REFUSED)


def payout_reversed(payout_id: str, user_id: str, credits: str, reversed_so_far: int) -> NotifyUser:
    """`reversed_so_far` names this reversal among those of its payout."""
    code, why = "transfer_reversed", "Stripe has reversed the transfer, or a part of it."
    body = f"Money of a payout was taken back. {credits} credits are yours again.\n\n{explained(code, why, REVERSED)}"
    told = _of_payout("payout.reversed", payout_id, user_id, title="A payout was reversed", body=body, code=code)
    return replace(told, dedupe_key=f"{told.dedupe_key}:{reversed_so_far}")


def payout_held(payout_id: str, user_id: str, why: tuple[HoldReason, str], *, moment: datetime) -> NotifyUser:
    """`why`: the reason, and what the operator says."""
    code, words = why
    body = f"We look at it first.\n\n{HOLDS[code].told(code, words)}"
    told = _of_payout("payout.held", payout_id, user_id, title="A payout is on hold", body=body, code=code)
    return replace(told, dedupe_key=f"{told.dedupe_key}:{moment.isoformat()}")


def payout_waits(payout_id: str, user_id: str, code: str, reason: str) -> NotifyUser:
    """Told once of each code."""
    body = f"It is not sent for now.\n\n{explained(code, f'{reason}.', WAITS[code])}"
    told = _of_payout("payout.waiting", payout_id, user_id, title="A payout waits", body=body, code=code)
    return replace(told, dedupe_key=f"{told.dedupe_key}:{code}")


def _of_credits(
    kind: str, journal_id: str, user_id: str, *, title: str, body: str, key: str | None = None, code: str | None = None
) -> NotifyUser:
    """`key` is what it is told once of, where that is not the journal; `code` the reason's."""
    return NotifyUser(
        user_id=user_id,
        kind=kind,
        title=title,
        body=body,
        subject={"journal_id": journal_id, **({} if code is None else {"reason_code": str(code)})},
        dedupe_key=f"{kind}:{key or journal_id}",
    )


def _of_payout(
    kind: str, payout_id: str, user_id: str, *, title: str, body: str, code: str | None = None
) -> NotifyUser:
    return NotifyUser(
        user_id=user_id,
        kind=kind,
        title=title,
        body=body,
        subject={"payout_id": payout_id, **({} if code is None else {"reason_code": str(code)})},
        dedupe_key=f"{kind}:{payout_id}",
    )
