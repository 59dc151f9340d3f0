"""What a reversal takes from somebody, in the ledger's order: pending sales, earned, purchased credits, and a debt."""

from __future__ import annotations

from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.domain import Leg
from promptforge.actors.billing.ledger.holdings import Holdings, taken_from_grants, taken_from_payable, total_of
from promptforge.actors.billing.ledger.sales.domain import Claim, taken_from_sales


async def taken_from_seller(books: Books, seller_id: str, claim: Claim) -> list[Leg]:
    """All that a refund claims of a seller, beyond what is pending of the sale itself: of what gifts had paid, from
    their granted credits as far as they go; the rest as `take_payable` takes it.
    """
    if not claim.granted and not claim.payable:
        return []
    holdings = await books.holdings(seller_id)
    legs = taken_from_grants(holdings, seller_id, claim.granted)
    missing = claim.payable + claim.granted - total_of(legs)
    return legs + await take_payable(books, seller_id, missing, holdings=holdings)


async def take_payable(books: Books, user_id: str, amount: int, *, holdings: Holdings) -> list[Leg]:
    """All of `amount` from somebody, without a gift being touched: pending, earned, purchased, and then as a debt.

    `holdings` is what they have left for it.
    """
    if not amount:
        return []
    legs, left = taken_from_sales(await books.open_sales(user_id), amount)
    for sale in left:
        await books.put_sale(sale)
    missing = amount - total_of(legs)
    if not missing:
        return legs
    return legs + taken_from_payable(holdings, user_id, missing)
