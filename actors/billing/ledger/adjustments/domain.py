"""Gifts, what is left of them once they have expired, and written-off debts: what each posts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from promptforge.actors.billing.ledger.domain import EXPIRES_AT, Fund, Journal, JournalKind, Leg, Owed, Platform
from promptforge.actors.billing.ledger.holdings import Lot
from promptforge.core.amounts import from_millicredits

GRANTED_BY = "grant:"
WRITTEN_OFF_BY = "writeoff:"
"""How the keys of gifts and of written-off debts begin."""


def grant_journal(grant_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> Journal:
    """Credits given away. `refs` may say until when they can be spent (`until`)."""
    key = f"{GRANTED_BY}{grant_id}"
    legs = (Leg(Platform.GRANTS, -amount), Leg(Fund.GRANTED, amount, user_id, lot=key))
    return Journal(key, JournalKind.GRANT, refs, legs, (user_id,))


def until(moment: datetime | None) -> dict[str, str]:
    """What `refs` of a gift say of its expiry."""
    return {EXPIRES_AT: moment.isoformat()} if moment is not None else {}


def has_expired(lot: Lot, now: datetime) -> bool:
    return lot.expires_at is not None and lot.expires_at <= now and lot.remaining > 0


def expiry_key(lot_id: str, number: int) -> str:
    """`expire:{lot}`; where something came back to the lot afterwards (a refund, the rest of a run), once more."""
    return f"expire:{lot_id}" if number == 1 else f"expire:{lot_id}:{number}"


def expiry_journal(key: str, lot: Lot, *, user_id: str) -> Journal:
    """What is left of an expired gift goes back to where it came from."""
    legs = (Leg(lot.fund, -lot.remaining, user_id, lot.id), Leg(Platform.GRANTS, lot.remaining))
    refs = {"lot": lot.id, "expired": from_millicredits(lot.remaining)}
    return Journal(key, JournalKind.EXPIRY, refs, legs, (user_id,), reverses=lot.id)


def write_off_journal(write_off_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> Journal:
    """A debt that nobody will pay becomes the platform's loss."""
    key = f"{WRITTEN_OFF_BY}{write_off_id}"
    legs = (Leg(Platform.LOSSES, -amount), Leg(Owed.DEBT, amount, user_id))
    return Journal(key, JournalKind.WRITE_OFF, refs, legs, (user_id,))
