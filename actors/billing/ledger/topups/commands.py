"""Taking credits back whose charge was refunded or disputed, giving them back, and freezing what is left meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.domain import Journal, JournalKind, Leg
from promptforge.actors.billing.ledger.holdings import taken_from_lot, total_of
from promptforge.actors.billing.ledger.sales.commands import refund, refund_share
from promptforge.actors.billing.ledger.sales.compensating import is_compensation, take_back_compensation
from promptforge.actors.billing.ledger.sales.domain import UNDONE, Sale, purchase_key
from promptforge.actors.billing.ledger.sales.taking import take_payable
from promptforge.actors.billing.ledger.topups.domain import (
    UNDOING,
    Claim,
    Topup,
    give_journal,
    given_back,
    pieces_of,
    take_journal,
    topup_of,
)
from promptforge.core.errors import NotFound


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What a claim took: `journal` is None where it took nothing. `undone` are the journals that undid sales.

    `more`: there were too many sales for one transaction, and `go_on_undoing` undoes the rest.
    """

    journal: Journal | None = None
    undone: tuple[Journal, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Millicredits of a user that were frozen, or released."""

    user_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class Undone:
    """Some more of the sales that a payment paid for. `thawed` is what nothing freezes any more after the last."""

    undone: tuple[Journal, ...]
    more: bool
    thawed: Held


async def get_topup(books: Books, topup_id: str) -> Topup:
    """Raises `NotFound` where no payment brought credits under this key."""
    known = await books.find_topup(topup_id)
    if known is not None:
        return known
    journal = await books.find_journal(topup_id)
    topup = topup_of(journal) if journal is not None else None
    if topup is None:
        raise NotFound(f"No payment is posted as {topup_id}")
    return topup


async def take_back(
    books: Books, topup_id: str, claim: Claim, *, captured: int, undo_sales: bool, at_once: bool = True
) -> TakenBack:
    """Apply a claim on a payment's charge, once: `captured` is the charge's money, in the claim's minor units.

    With `undo_sales` (a dispute, or a refund for fraud) unpaid sales that the lot paid for are refunded, the newest
    first, until what was not spent of it is as much as all such claims take. Then what is left of the lot is taken, the
    user's own pending, earned and other purchased credits, and what is missing becomes a debt. Where there are more
    sales than one transaction can undo, that is still so at its end: the others are undone by `go_on_undoing`, and what
    they bring back pays that debt. Until then none of them settles, and nothing of the lot is spent. A claim that comes
    meanwhile undoes none itself, and neither does one that is not to do so `at_once`: so however many a transaction
    tells of, it is bounded.
    """
    topup = await get_topup(books, topup_id)
    if topup.claim(claim.id) is not None:  # taken already, or failed before it was heard of
        return TakenBack()
    before, topup = topup, replace(topup, captured=captured).with_claim(replace(claim, undoes=undo_sales))
    take = max(0, topup.due - topup.taken)
    undone: tuple[Journal, ...] = ()
    legs: list[Leg] = []
    if undo_sales and not before.undoing:  # otherwise the jobs of the claim before undo what both need
        topup, undone = await _undo_sales(books, topup, at_once=at_once)
    if take:
        holdings = await books.holdings(topup.user_id)
        legs = taken_from_lot(holdings, topup.user_id, topup.id, take)
        legs += await take_payable(books, topup.user_id, take - total_of(legs), holdings=holdings.after(legs))
    await books.put_topup(replace(topup, pieces=(*topup.pieces, *pieces_of(legs))))
    if topup.undoing != before.undoing:
        await books.freeze_lot(topup.user_id, topup.id, frozen=bool(topup.frozen_by))
    excess = topup.excess - before.excess
    journal = take_journal(topup, claim, legs, excess)
    if journal is not None:
        await books.post(journal)
    return TakenBack(journal, undone, topup.undoing)


async def go_on_undoing(books: Books, topup_id: str) -> Undone:
    """Undo as many more of the sales as one transaction can, while the claims that stand by now need it."""
    topup = await get_topup(books, topup_id)
    if not topup.undoing:
        return Undone((), more=False, thawed=Held(topup.user_id, 0))
    topup, undone = await _undo_sales(books, topup)
    await books.put_topup(topup)
    if topup.frozen_by:
        return Undone(undone, topup.undoing, Held(topup.user_id, 0))
    await books.freeze_lot(topup.user_id, topup.id, frozen=False)
    return Undone(undone, more=False, thawed=Held(topup.user_id, await _left(books, topup)))


async def _undo_sales(books: Books, topup: Topup, *, at_once: bool = True) -> tuple[Topup, tuple[Journal, ...]]:
    """Which sales are undone depends on the disputes and frauds that stand, and on nothing that another claim has taken
    of the lot before: that counts as unspent. Answers what undid them, and the top-up with what their debts absorbed,
    which is `UNDOING` while there are others to undo.
    """
    journals: list[Journal] = []
    for listed in await books.open_sales_paid_with(topup.id) if at_once else ():
        if await _is_covered(books, topup):
            break
        sale = await books.find_sale(listed.id)  # the one undone before may have taken what was pending of it
        if sale is None or not sale.open:
            continue
        left = await _left(books, topup)
        undone = await _undo(books, sale)
        journals += [undone] if undone is not None else []
        back = sum(leg.amount for leg in undone.legs if leg.lot == topup.id) if undone is not None else 0
        absorbed = back - (await _left(books, topup) - left)
        topup = replace(topup, absorbed=topup.absorbed + absorbed)
    more = not await _is_covered(books, topup) and bool(await books.open_sales_paid_with(topup.id))
    return topup.frozen(UNDOING, frozen=more), tuple(journals)


async def _undo(books: Books, sale: Sale) -> Journal | None:
    if is_compensation(sale):
        return await take_back_compensation(books, sale)
    if sale.id.startswith(purchase_key("")):
        return (await refund(books, sale.id.removeprefix(purchase_key("")), reason=UNDONE))[0]
    return await refund_share(books, sale, reason=UNDONE)


def purchases_of(undone: Sequence[Journal]) -> tuple[str, ...]:
    """Those among what was undone: the marketplace takes them back as well."""
    return tuple(one.refs["purchase_id"] for one in undone if one.kind is JournalKind.PURCHASE_REFUND)


async def _is_covered(books: Books, topup: Topup) -> bool:
    """Whether what was not spent of the lot is as much as disputes and frauds take of it."""
    return await _left(books, topup) + topup.taken_from_lot + topup.absorbed >= topup.undone_for


async def give_back(books: Books, topup_id: str, claim: Claim) -> Journal | None:
    """A refund has failed, or a dispute was won: undo what the claims that still stand do not take.

    The claim is remembered as one that does not stand, also where it was not heard of before: it takes nothing later.
    """
    before = await get_topup(books, topup_id)
    known = before.claim(claim.id)
    if known is not None and not known.stands:
        return None
    topup = before.with_claim(replace(known or claim, stands=False))
    give = max(0, topup.taken - topup.due)
    legs, pieces = given_back(topup, give, await books.holdings(topup.user_id))
    topup = replace(topup, pieces=pieces)
    came_back = sum(leg.amount for leg in legs if leg.lot == topup.id) - (before.taken_from_lot - topup.taken_from_lot)
    await books.put_topup(replace(topup, absorbed=max(0, topup.absorbed - came_back)))
    excess = before.excess - topup.excess
    journal = give_journal(topup, claim, legs, excess)
    if journal is not None:
        await books.post(journal)
    return journal


async def freeze(books: Books, topup_id: str, dispute_id: str) -> Held:
    """While the dispute is open, what is left of the lot is not spent, and the sales that it paid for do not settle.

    Answers what was frozen just now.
    """
    topup = await get_topup(books, topup_id)
    if dispute_id in topup.frozen_by:
        return Held(topup.user_id, 0)
    await books.put_topup(topup.frozen(dispute_id, frozen=True))
    await books.freeze_lot(topup.user_id, topup.id, frozen=True)
    return Held(topup.user_id, 0 if topup.frozen_by else await _left(books, topup))


async def thaw(books: Books, topup_id: str, dispute_id: str) -> Held:
    """The dispute is closed; another one may keep the lot frozen, or sales that are still to be undone. Answers what
    was released just now.
    """
    topup = await get_topup(books, topup_id)
    if dispute_id not in topup.frozen_by:
        return Held(topup.user_id, 0)
    topup = topup.frozen(dispute_id, frozen=False)
    await books.put_topup(topup)
    if topup.frozen_by:
        return Held(topup.user_id, 0)
    await books.freeze_lot(topup.user_id, topup.id, frozen=False)
    return Held(topup.user_id, await _left(books, topup))


async def _left(books: Books, topup: Topup) -> int:
    lots = (await books.holdings(topup.user_id)).lots
    return sum(lot.remaining for lot in lots if lot.id == topup.id)
