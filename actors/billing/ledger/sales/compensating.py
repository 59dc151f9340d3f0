"""Making a seller whole whose sale was refunded by mistake: the buyer keeps the refund, and the platform pays.

What was reversed of the seller's share comes back, once, out of `platform:compensations`. It is pending like a sale,
each part as payable as it was: what had been paid with gifts, or was withheld, settles into granted credits again.
It waits for what the sale would have waited for, and where the buyer's payment is lost after all, it goes back: the
sale would have been undone then.
"""

from __future__ import annotations

from promptforge.actors.billing.errors import PaymentLost
from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.commissions.fate import is_lost
from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, Owed, Platform
from promptforge.actors.billing.ledger.holdings import total_of
from promptforge.actors.billing.ledger.sales.domain import (
    UNDONE,
    Sale,
    purchase_key,
    refund_key,
    refund_of,
    reversed_sale,
    settled_by,
)
from promptforge.actors.billing.ledger.sales.taking import taken_from_seller
from promptforge.core.errors import NotFound

COMPENSATED_BY = "compensation:"
"""How the keys of compensations begin."""


def compensation_key(purchase_id: str) -> str:
    return f"{COMPENSATED_BY}{purchase_id}"


async def compensate(books: Books, purchase_id: str, *, reason: str) -> tuple[Journal | None, bool]:
    """Give the seller what the refund of a sale has reversed of their share. The flag: done just now.

    A share that had settled is due again at once; another one waits as that of a new sale does. A partner's commission
    stays reversed, for the buyer has their credits back. None where the seller had no share. Raises `NotFound` for a
    sale that was not refunded, and `PaymentLost` for one whose payment is gone.
    """
    there = await books.find_journal(compensation_key(purchase_id))
    if there is not None:
        return there, False
    purchase = await books.find_journal(purchase_key(purchase_id))
    refund = await books.find_journal(refund_key(purchase_id))
    if purchase is None or refund is None:
        raise NotFound(f"The sale {purchase_id} was not refunded")
    sale = await books.find_sale(purchase.id)
    if refund.refs["reason"] == UNDONE or (sale is not None and await is_lost(books, sale)):
        raise PaymentLost
    share = purchase.total(Owed.PENDING)
    if sale is None or not share:
        return None, False
    payable = purchase.total(Owed.PENDING, source=Fund.PURCHASED) - sale.withheld
    if await books.are_linked(purchase.refs["buyer_id"], sale.seller_id):
        payable = 0
    had_settled = await books.find_journal(settled_by(sale)) is not None
    again = Sale(
        id=compensation_key(purchase_id),
        seller_id=sale.seller_id,
        sold_at=sale.sold_at if had_settled else books.now,
        payable=payable,
        granted=share - payable,
        paid_with=sale.paid_with,
        buyer_id=purchase.refs["buyer_id"],
    )
    journal = _journal(again, refund, purchase_id, reason)
    await books.put_sale(again)
    await books.post(journal)
    return journal, True


def _journal(again: Sale, refund: Journal, purchase_id: str, reason: str) -> Journal:
    parts = ((again.payable, Fund.PURCHASED), (again.granted, Fund.GRANTED))
    legs = [Leg(Owed.PENDING, amount, again.seller_id, again.id, source) for amount, source in parts if amount]
    legs.append(Leg(Platform.COMPENSATIONS, -(again.payable + again.granted)))
    refs = {"purchase_id": purchase_id, "seller_id": again.seller_id, "reason": reason}
    return Journal(again.id, JournalKind.COMPENSATION, refs, tuple(legs), (again.seller_id,), reverses=refund.id)


def return_key(sale: Sale) -> str:
    return f"{sale.id}:return"


def is_compensation(sale: Sale) -> bool:
    return sale.id.startswith(COMPENSATED_BY)


async def take_back_compensation(books: Books, sale: Sale) -> Journal:
    """All of it goes back to the platform, for the payment behind the sale is lost: what is pending of it first, and
    then, like a refund, what has settled of it or another reversal has taken, from the seller.
    """
    compensation = await books.find_journal(sale.id)
    if compensation is None:
        raise NotFound(f"There is no compensation {sale.id}")
    legs, claim = refund_of(compensation, sale)
    await books.put_sale(reversed_sale(sale))
    legs += await taken_from_seller(books, sale.seller_id, claim)
    legs.append(Leg(Platform.COMPENSATIONS, total_of(legs)))
    refs = {"purchase_id": sale.id.removeprefix(COMPENSATED_BY), "seller_id": sale.seller_id, "reason": UNDONE}
    kind = JournalKind.COMPENSATION_RETURN
    journal = Journal(return_key(sale), kind, refs, tuple(legs), (sale.seller_id,), reverses=sale.id)
    await books.post(journal)
    return journal
