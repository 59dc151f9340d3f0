"""Who hears of it where a journal leaves somebody in debt."""

from __future__ import annotations

from promptforge.actors.billing.ledger.domain import Journal, Owed
from promptforge.actors.billing.notices import credits_owed
from promptforge.core.context import Context


def debt_of(journal: Journal, user_id: str) -> int:
    """By how much a journal has made somebody's debt larger; 0 where it has not."""
    return max(0, -journal.total(Owed.DEBT, user_id=user_id))


async def tell_of_debts(journal: Journal | None, code: str, tx: Context) -> None:
    """In the journal's own transaction."""
    if journal is None:
        return
    for user_id in journal.parties:
        if owed := debt_of(journal, user_id):
            await tx.enqueue(credits_owed(journal.id, user_id, owed, code))
