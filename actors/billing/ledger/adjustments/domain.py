"""Gifts and written-off debts: what they post, and which of them two operators have to agree on."""

from __future__ import annotations

from collections.abc import Mapping

from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, Owed, Platform


def grant_journal(grant_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> Journal:
    """Credits given away."""
    key = f"grant:{grant_id}"
    legs = (Leg(Platform.GRANTS, -amount), Leg(Fund.GRANTED, amount, user_id, lot=key))
    return Journal(key, JournalKind.GRANT, refs, legs, (user_id,))


def write_off_journal(write_off_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> Journal:
    """A debt that nobody will pay becomes the platform's loss."""
    key = f"writeoff:{write_off_id}"
    legs = (Leg(Platform.LOSSES, -amount), Leg(Owed.DEBT, amount, user_id))
    return Journal(key, JournalKind.WRITE_OFF, refs, legs, (user_id,))
