"""Freezing a partner's commissions, deciding about them once, carrying that out sale by sale, and collecting."""

from __future__ import annotations

from promptforge.actors.billing.errors import InsufficientCredits
from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.commissions.domain import (
    COLLECTED_BY,
    Freeze,
    FreezeState,
    collect_journal,
    decision_journal,
)
from promptforge.actors.billing.ledger.domain import Journal
from promptforge.actors.billing.ledger.sales.domain import Fate, SaleState, without_commission
from promptforge.core.amounts import from_millicredits
from promptforge.core.errors import NotFound


async def freeze(books: Books, partner_id: str) -> Freeze:
    """End the partner's term: what is pending of it settles no more until somebody decides."""
    partner = await books.partner(partner_id)
    frozen = Freeze(partner_id, partner.term, books.now)
    await books.put_freeze(frozen)
    await books.begin_term(partner_id, partner.term + 1)
    return frozen


async def decide(books: Books, partner_id: str, term: int, state: FreezeState, *, by: str, reason: str) -> Freeze:
    """Once: raises `FreezeDecided` for whoever comes second, and `NotFound` where nothing was frozen."""
    there = await books.find_freeze(partner_id, term)
    if there is None:
        raise NotFound("Nothing of this partner was frozen then")
    decided = there.decided(state, by=by, reason=reason, at=books.now)
    await books.put_freeze(decided)
    return decided


async def carry_out(books: Books, sale_id: str) -> Journal | None:
    """What was decided about the term of a sale, for this sale; None where nothing is left to do.

    What is released of a sale that has not settled yet settles with it.
    """
    sale = await books.find_sale(sale_id)
    if sale is None or not sale.commission or sale.partner_id is None:
        return None
    there = await books.find_freeze(sale.partner_id, sale.term)
    if there is None or there.fate is Fate.FROZEN or (there.fate is Fate.PAID and sale.state is SaleState.PENDING):
        return None
    journal = decision_journal(sale, there.fate)
    await books.put_sale(without_commission(sale, there.fate))
    await books.post(journal)
    return journal


async def collect(books: Books, collection_id: str, *, partner_id: str, owner_id: str, amount: int | None) -> int:
    """Make settled commissions their owner's earned credits: all of them, unless an `amount` is given.

    The same collection again answers the same. A debt of the owner's is paid first, as with all that they earn.
    Raises `InsufficientCredits`.
    """
    there = await books.find_journal(f"{COLLECTED_BY}{collection_id}")
    if there is not None:
        return sum(-leg.amount for leg in there.legs if leg.account_is_partners)
    earned = (await books.partner(partner_id)).earned
    wanted = earned if amount is None else amount
    if not wanted or earned < wanted:
        raise InsufficientCredits(f"{from_millicredits(earned)} credits have settled and wait to be collected")
    await books.post(collect_journal(collection_id, partner_id=partner_id, owner_id=owner_id, amount=wanted))
    return wanted
