"""Charging, refunding and settling a sale, each exactly once."""

from __future__ import annotations

from functools import partial

from promptforge.actors.billing.errors import JournalMismatch
from promptforge.actors.billing.ledger import runs
from promptforge.actors.billing.ledger.books import Books, unposted
from promptforge.actors.billing.ledger.commissions.commands import withhold_commission
from promptforge.actors.billing.ledger.commissions.fate import buyer_of, is_disputed, is_known, is_lost
from promptforge.actors.billing.ledger.domain import Journal, JournalKind, Leg, PartnerAccount, Platform
from promptforge.actors.billing.ledger.holdings import Part, plan_payment
from promptforge.actors.billing.ledger.sales.compensating import is_compensation, take_back_compensation
from promptforge.actors.billing.ledger.sales.domain import (
    Claim,
    Deal,
    Sale,
    Terms,
    is_due,
    partner_of,
    purchase_journal,
    purchase_key,
    refund_journal,
    refund_key,
    refund_of,
    reversed_sale,
    sale_of,
    settled,
    withheld,
    withheld_by,
)
from promptforge.actors.billing.ledger.sales.taking import taken_from_seller
from promptforge.core.errors import NotFound


async def charge(books: Books, deal: Deal, *, fee_bp: int) -> Journal:
    """Take the price from the buyer; the same deal again answers the same journal.

    The seller may spend what comes of a linked buyer, and nothing of it is ever paid out.
    Raises `InsufficientCredits` or `DebtOutstanding`, and `JournalMismatch` for another deal of this purchase's id.
    """
    there = await books.find_journal(purchase_key(deal.purchase_id))
    if there is not None:
        if dict(there.refs) != deal.refs:
            raise JournalMismatch(f"{there.id} was posted before, and differently")
        return there
    parts: tuple[Part, ...] = ()
    if deal.price:
        parts = plan_payment(await books.holdings(deal.buyer_id), deal.price)
    linked = await books.are_linked(deal.buyer_id, deal.seller_id)
    partner_id = deal.commission.partner_id if deal.commission is not None else None
    refused = deal.commission is not None and await is_known(
        books, deal.commission.referrer_id, deal.buyer_id, deal.seller_id
    )
    journal = purchase_journal(deal, parts=parts, fee_bp=fee_bp, linked=linked, refused=refused)
    await books.post(journal)
    term = (await books.partner(partner_id)).term if partner_id is not None else 0
    sale = sale_of(journal, books.now, term=term)
    if sale is not None:
        await books.put_sale(sale)
    return journal


async def refund(books: Books, purchase_id: str, *, reason: str) -> tuple[Journal, bool]:
    """Give everything back: to the buyer from the seller, the partner and the platform. The flag: done just now.

    What is pending of the sale is taken first. The rest of what was paid with granted credits comes out of the seller's
    granted ones as far as they go; everything else out of their other pending sales, then earned, then purchased
    credits, and what is missing becomes their debt. Raises `NotFound` for a purchase that was never charged.
    """
    there = await books.find_journal(refund_key(purchase_id))
    if there is not None:
        return there, False
    purchase = await books.find_journal(purchase_key(purchase_id))
    if purchase is None:
        raise NotFound(f"The purchase {purchase_id} was never charged")
    sale = await books.find_sale(purchase.id)
    legs, claim = refund_of(purchase, sale)
    if sale is not None:
        await books.put_sale(reversed_sale(sale))
    legs += await taken_from_seller(books, purchase.refs["seller_id"], claim)
    legs += await _from_partner(books, purchase, claim)
    journal = refund_journal(purchase, legs, reason)
    await books.post(journal)
    return journal, True


async def refund_share(books: Books, sale: Sale, *, reason: str) -> Journal | None:
    """Give back a seller's share of a run: `run:{id}:refund`, once. What the model cost stays paid."""
    closed = await books.find_journal(sale.id)
    reserved = await books.find_journal(closed.reverses or "") if closed is not None else None
    if closed is None or reserved is None:
        raise NotFound(f"There is no run {sale.id}")
    key = runs.refund_key(closed.refs["run_id"])
    if await books.find_journal(key) is not None:
        return None
    bought = runs.share_bought(reserved, closed)
    legs, claim = refund_of(bought, sale)
    await books.put_sale(reversed_sale(sale))
    legs += await taken_from_seller(books, sale.seller_id, claim)
    refs = {"run_id": closed.refs["run_id"], "seller_id": sale.seller_id, "reason": reason}
    journal = Journal(key, JournalKind.RUN_REFUND, refs, tuple(legs), closed.parties, reverses=closed.id)
    await books.post(journal)
    return journal


async def _from_partner(books: Books, purchase: Journal, claim: Claim) -> list[Leg]:
    """Out of what has settled; what was collected of it comes from the referrer, as from a seller who was paid, and
    what was made unpayable of that from their granted credits.
    """
    partner_id = partner_of(purchase)
    if partner_id is None or not claim.commission + claim.commission_granted:
        return []
    partner = await books.partner(partner_id)
    taken = min(partner.earned, claim.commission)
    legs = [Leg(PartnerAccount(partner_id, settled=True), -taken)] if taken else []
    collected = Claim(claim.commission - taken, claim.commission_granted, 0)
    if not (missing := collected.payable + collected.granted):
        return legs
    if partner.closed:  # it was given back to the platform, and nobody is there to owe it
        return [*legs, Leg(Platform.FEES, -missing)]
    referrer_id = purchase.refs.get("referrer_id")
    if referrer_id is None:  # of before referrers were known to a sale
        return [*legs, Leg(Platform.LOSSES, -missing)]
    return legs + await taken_from_seller(books, referrer_id, collected)


async def settle(books: Books, sale_id: str, terms: Terms) -> Sale | None:
    """Settle a sale if it is due, still stands and is not frozen by a dispute; what is left of it where it did.

    Who shares a card with whom may have been learned since the sale, so it is asked again. A commission keeps no seller
    waiting: it stays pending, and is the partner's own matter from then on.
    """
    sale = await books.find_sale(sale_id)
    if sale is None or not sale.open:
        return None
    established = await books.has_settled_since_before(sale.seller_id, books.now - terms.established_after)
    if not is_due(sale, terms, established=established, now=books.now):
        return None
    if await is_disputed(books, sale):
        return None
    if is_compensation(sale) and await is_lost(books, sale):
        await take_back_compensation(books, sale)
        return None
    linked = await books.are_linked(await buyer_of(books, sale), sale.seller_id)
    journal, left = settled(sale, terms, linked=linked)
    await books.put_sale(left)
    if journal is not None:
        await books.post(journal)
    return left


async def withhold(books: Books, sale_id: str) -> Journal | None:
    """Once accounts turn out to belong together: what has settled of a sale between them, and is among the seller's
    earned credits, is never paid out. What is not there now is withheld by another journal once something is; None
    where nothing is.
    """
    sale = await books.find_sale(sale_id)
    if sale is None or not sale.earned:
        return None
    if not await books.are_linked(await buyer_of(books, sale), sale.seller_id):
        return None
    amount = min(sale.earned, (await books.holdings(sale.seller_id)).earned)
    if not amount:
        return None
    journal, left = withheld(sale, amount, await unposted(books, partial(withheld_by, sale.id)))
    await books.put_sale(left)
    await books.post(journal)
    return journal


async def withhold_all(books: Books, user_id: str) -> bool:
    """Of all their sales to accounts that are linked with theirs by now, and of their commissions of what those have
    bought or sold. Whether nothing is left to withhold: it is where they have not got that much, or where it is more
    than one transaction moves.
    """
    for sale in await books.earned_of_linked(user_id):
        await withhold(books, sale.id)
    for sale in await books.commissions_of_linked(user_id):
        await withhold_commission(books, sale.id)
    return not await books.earned_of_linked(user_id) and not await books.commissions_of_linked(user_id)
