"""Taking credits back whose charge was refunded or disputed, giving them back, and freezing what is left meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, replace

from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.domain import Journal, Leg
from promptforge.actors.billing.ledger.holdings import taken_from_lot, total_of
from promptforge.actors.billing.ledger.sales.commands import refund, refund_share, take_payable
from promptforge.actors.billing.ledger.sales.domain import purchase_key
from promptforge.actors.billing.ledger.topups.domain import (
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
    """What a claim took: `journal` is None where it took nothing. `refunded` are the purchases that were undone."""

    journal: Journal | None = None
    refunded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """Millicredits of a user that were frozen, or released."""

    user_id: str
    amount: int


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


async def take_back(books: Books, topup_id: str, claim: Claim, *, captured: int, undo_sales: bool) -> TakenBack:
    """Apply a claim on a payment's charge, once: `captured` is the charge's money, in the claim's minor units.

    With `undo_sales` (a dispute, or a refund for fraud) unpaid sales that the lot paid for are refunded, the newest
    first, until what was not spent of it is as much as all such claims take. Then what is left of the lot is taken, the
    user's own pending, earned and other purchased credits, and what is missing becomes a debt.
    """
    topup = await get_topup(books, topup_id)
    if topup.claim(claim.id) is not None:  # taken already, or failed before it was heard of
        return TakenBack()
    before, topup = topup, replace(topup, captured=captured).with_claim(replace(claim, undoes=undo_sales))
    take = max(0, topup.due - topup.taken)
    refunded: tuple[str, ...] = ()
    legs: list[Leg] = []
    if undo_sales:
        topup, refunded = await _undo_sales(books, topup)
    if take:
        holdings = await books.holdings(topup.user_id)
        legs = taken_from_lot(holdings, topup.user_id, topup.id, take)
        legs += await take_payable(books, topup.user_id, take - total_of(legs), holdings=holdings.after(legs))
    await books.put_topup(replace(topup, pieces=(*topup.pieces, *pieces_of(legs))))
    excess = topup.excess - before.excess
    journal = take_journal(topup, claim, legs, excess)
    if journal is not None:
        await books.post(journal)
    return TakenBack(journal, refunded)


async def _undo_sales(books: Books, topup: Topup) -> tuple[Topup, tuple[str, ...]]:
    """Which sales are undone depends on the disputes and frauds that stand, and on nothing that another claim has taken
    of the lot before: that counts as unspent. Answers the purchases, and the top-up with what their debts absorbed.
    """
    refunded: list[str] = []
    for sale in await books.open_sales_paid_with(topup.id):
        left = await _left(books, topup)
        if left + topup.taken_from_lot + topup.absorbed >= topup.undone_for:
            break
        if sale.id.startswith(purchase_key("")):
            purchase_id = sale.id.removeprefix(purchase_key(""))
            undone: Journal | None = (await refund(books, purchase_id, reason="the payment was disputed"))[0]
            refunded.append(purchase_id)
        else:
            undone = await refund_share(books, sale, reason="the payment was disputed")
        back = sum(leg.amount for leg in undone.legs if leg.lot == topup.id) if undone is not None else 0
        absorbed = back - (await _left(books, topup) - left)
        topup = replace(topup, absorbed=topup.absorbed + absorbed)
    return topup, tuple(refunded)


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
    await books.put_topup(replace(topup, frozen_by=(*topup.frozen_by, dispute_id)))
    await books.freeze_lot(topup.user_id, topup.id, frozen=True)
    return Held(topup.user_id, 0 if topup.frozen_by else await _left(books, topup))


async def thaw(books: Books, topup_id: str, dispute_id: str) -> Held:
    """The dispute is closed; another one may keep the lot frozen. Answers what was released just now."""
    topup = await get_topup(books, topup_id)
    if dispute_id not in topup.frozen_by:
        return Held(topup.user_id, 0)
    frozen_by = tuple(other for other in topup.frozen_by if other != dispute_id)
    await books.put_topup(replace(topup, frozen_by=frozen_by))
    if frozen_by:
        return Held(topup.user_id, 0)
    await books.freeze_lot(topup.user_id, topup.id, frozen=False)
    return Held(topup.user_id, await _left(books, topup))


async def _left(books: Books, topup: Topup) -> int:
    lots = (await books.holdings(topup.user_id)).lots
    return sum(lot.remaining for lot in lots if lot.id == topup.id)
