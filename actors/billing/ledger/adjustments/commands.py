"""Giving credits away, taking back what is left of expired gifts, and writing a debt off."""

from __future__ import annotations

from collections.abc import Mapping

from promptforge.actors.billing.errors import NothingOwed
from promptforge.actors.billing.ledger.adjustments.domain import (
    expiry_journal,
    expiry_key,
    grant_journal,
    has_expired,
    write_off_journal,
)
from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.domain import Journal
from promptforge.core.amounts import from_millicredits

MOST_LOTS = 50
"""In one transaction."""


async def grant(books: Books, grant_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> None:
    await books.post(grant_journal(grant_id, user_id=user_id, amount=amount, refs=refs))


async def expire(books: Books, user_id: str) -> list[Journal]:
    """Take what is left of the gifts that have expired, at most `MOST_LOTS`; answers what was posted.

    Whoever spends of them at the same time writes the same balances, so one of the two starts over on what the other
    has left: nothing is taken that was spent.
    """
    posted: list[Journal] = []
    for lot in (await books.holdings(user_id)).lots:
        if has_expired(lot, books.now) and len(posted) < MOST_LOTS:
            number = 1
            while await books.find_journal(expiry_key(lot.id, number)) is not None:
                number += 1
            posted.append(expiry_journal(expiry_key(lot.id, number), lot, user_id=user_id))
            await books.post(posted[-1])
    return posted


async def write_off(books: Books, write_off_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> None:
    """Raises `NothingOwed` where the debt is smaller than `amount`."""
    journal = write_off_journal(write_off_id, user_id=user_id, amount=amount, refs=refs)
    if await books.find_journal(journal.id) is not None:
        return
    owes = (await books.holdings(user_id)).owes
    if owes < amount:
        raise NothingOwed(f"They owe {from_millicredits(owes)} credits")
    await books.post(journal)
