"""What becomes of a commission: one answer, whoever asks, be it after its sale has settled or after a decision."""

from __future__ import annotations

from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.commissions.domain import Fate
from promptforge.actors.billing.ledger.sales.domain import Sale
from promptforge.actors.partnerships.referrals.messages import ReferrerStanding


async def fate_of(books: Books, sale: Sale, referrer: ReferrerStanding) -> Fate:
    """As is known by now. What nobody is to get is forgone first, whatever else is undecided."""
    if sale.partner_id is None or await is_nobodys(books, sale, referrer):
        return Fate.FORGONE
    freeze = await books.find_freeze(sale.partner_id, sale.term)
    if freeze is not None and freeze.fate is not Fate.PAID:
        return freeze.fate
    return Fate.WAITS if referrer.suspended or await is_disputed(books, sale) else Fate.PAID


async def is_nobodys(books: Books, sale: Sale, referrer: ReferrerStanding) -> bool:
    """The accounts belong together, the referrer's is closed, or the money that paid for it is lost."""
    buyer_id = await buyer_of(books, sale)
    return (
        referrer.came_by
        or referrer.closed
        or (await books.partner(sale.partner_id or "")).closed
        or await books.are_linked(buyer_id, sale.seller_id)
        or await is_known(books, sale.referrer_id, buyer_id, sale.seller_id)
        or await is_lost(books, sale)
    )


async def is_known(books: Books, referrer_id: str, buyer_id: str, seller_id: str) -> bool:
    """Whether the referrer is one of those two, or shares a card or a bank account with one: then nothing is earned."""
    return bool(referrer_id) and (
        referrer_id in {buyer_id, seller_id}
        or await books.are_linked(referrer_id, buyer_id)
        or await books.are_linked(referrer_id, seller_id)
    )


async def is_disputed(books: Books, sale: Sale) -> bool:
    """Whether a payment that paid for it is disputed, and that is not decided."""
    topups = [await books.find_topup(lot) for lot in sale.paid_with]
    return any(topup is not None and topup.frozen_by for topup in topups)


async def is_lost(books: Books, sale: Sale) -> bool:
    """Whether such a payment is gone: a dispute was lost, or it was refunded for fraud."""
    topups = [await books.find_topup(lot) for lot in sale.paid_with]
    return any(topup is not None and topup.lost for topup in topups)


async def buyer_of(books: Books, sale: Sale) -> str:
    """Sales did not always say it."""
    if sale.buyer_id:
        return sale.buyer_id
    purchase = await books.find_journal(sale.id)
    return purchase.refs["buyer_id"] if purchase is not None else ""
