"""Giving credits away, and writing a debt off."""

from __future__ import annotations

from collections.abc import Mapping

from promptforge.actors.billing.errors import NothingOwed
from promptforge.actors.billing.ledger.adjustments.domain import grant_journal, write_off_journal
from promptforge.actors.billing.ledger.books import Books
from promptforge.core.amounts import from_millicredits


async def grant(books: Books, grant_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> None:
    await books.post(grant_journal(grant_id, user_id=user_id, amount=amount, refs=refs))


async def write_off(books: Books, write_off_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> None:
    """Raises `NothingOwed` where the debt is smaller than `amount`."""
    journal = write_off_journal(write_off_id, user_id=user_id, amount=amount, refs=refs)
    if await books.find_journal(journal.id) is not None:
        return
    owes = (await books.holdings(user_id)).owes
    if owes < amount:
        raise NothingOwed(f"They owe {from_millicredits(owes)} credits")
    await books.post(journal)
