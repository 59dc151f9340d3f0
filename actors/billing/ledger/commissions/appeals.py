"""Appeals against what was forfeited: one for each term, decided once; what is granted comes back out of the fee."""

from __future__ import annotations

from dataclasses import replace

from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.commissions import commands
from promptforge.actors.billing.ledger.commissions.domain import Freeze, FreezeState, restored
from promptforge.actors.billing.ledger.commissions.fate import is_nobodys
from promptforge.actors.billing.ledger.commissions.messages import AnswerFreeze, AppealFreeze
from promptforge.actors.partnerships.referrals.messages import ReferrerStanding
from promptforge.core.errors import NotFound


async def appeal(books: Books, message: AppealFreeze) -> Freeze:
    """Raises `NotFound`, `NothingForfeited`, `ForfeitAppealed` or `AppealTooLate`."""
    appealed = (await _get(books, message.partner_id, message.term)).appealed(message.words, at=books.now)
    await books.put_freeze(appealed)
    return appealed


async def answer(books: Books, message: AnswerFreeze) -> Freeze:
    """Raises `NotFound`, `NothingForfeited`, or `FreezeDecided` for whoever comes second."""
    there = await _get(books, message.partner_id, message.term)
    why = (message.reason, message.reason_code)
    answered = there.answered(granted=message.granted, by=message.decided_by, why=why, at=books.now)
    await books.put_freeze(answered)
    return answered


async def restore(books: Books, sale_id: str, referrer: ReferrerStanding = commands.HONEST) -> bool:
    """Bring back what was forfeited of a sale's commission, where its term is released by now; whether that moved any.

    It is pending again, and the partner's at once where its sale has settled. What nobody is to get any more stays in
    the fee, for that reason from now on; of a refunded sale nothing is left there.
    """
    sale = await books.find_sale(sale_id)
    if sale is None or not sale.forfeited or sale.partner_id is None:
        return False
    freeze = await books.find_freeze(sale.partner_id, sale.term)
    if freeze is None or freeze.state is not FreezeState.RELEASED:
        return False
    if await is_nobodys(books, sale, referrer):
        await books.put_sale(replace(sale, forfeited=0))
        return False
    journal, left = restored(sale)
    await books.put_sale(left)
    await books.post(journal)
    await commands.settle(books, sale_id, referrer)
    return True


async def _get(books: Books, partner_id: str, term: int) -> Freeze:
    freeze = await books.find_freeze(partner_id, term)
    if freeze is None:
        raise NotFound("Nothing of this partner was frozen then")
    return freeze
