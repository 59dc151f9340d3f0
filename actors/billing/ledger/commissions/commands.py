"""Settling commissions one by one, freezing them, deciding about them once, and collecting."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from promptforge.actors.billing.errors import InsufficientCredits
from promptforge.actors.billing.ledger.books import Books, unposted
from promptforge.actors.billing.ledger.commissions.domain import (
    BACK_INTO_THE_FEE,
    CLOSED,
    COLLECTED_BY,
    Fate,
    Freeze,
    FreezeState,
    collect_journal,
    commission_withheld_by,
    forfeit_key,
    given_up_journal,
    moved,
    release_key,
    withheld_commission,
)
from promptforge.actors.billing.ledger.commissions.fate import buyer_of, fate_of, is_known
from promptforge.actors.billing.ledger.commissions.messages import DecideFreeze
from promptforge.actors.billing.ledger.domain import Journal
from promptforge.actors.billing.ledger.sales.domain import SETTLING, Sale
from promptforge.actors.partnerships.referrals.messages import ReferrerStanding
from promptforge.core.amounts import from_millicredits
from promptforge.core.errors import NotFound

HONEST = ReferrerStanding()


async def freeze(books: Books, partner_id: str) -> Freeze:
    """End the partner's term: what is pending of it settles no more until somebody decides."""
    partner = await books.partner(partner_id)
    frozen = Freeze(partner_id, partner.term, books.now)
    await books.put_freeze(frozen)
    await books.begin_term(partner_id, partner.term + 1)
    return frozen


async def decide(books: Books, decision: DecideFreeze) -> Freeze:
    """Once: raises `FreezeDecided` for whoever comes second, and `NotFound` where nothing was frozen."""
    there = await books.find_freeze(decision.partner_id, decision.term)
    if there is None:
        raise NotFound("Nothing of this partner was frozen then")
    state = FreezeState.RELEASED if decision.release else FreezeState.FORFEITED
    why, until = (decision.reason, decision.reason_code), decision.appeal_until
    decided = there.decided(state, by=decision.decided_by, why=why, at=books.now, appeal_until=until)
    await books.put_freeze(decided)
    return decided


async def settle(books: Books, sale_id: str, referrer: ReferrerStanding = HONEST) -> Fate | None:
    """Move what is pending of a sale's commission, if its fate is known; None where nothing of it moves now.

    The partner's it becomes once the seller was paid, and not before.
    """
    sale = await books.find_sale(sale_id)
    if sale is None or not sale.commission:
        return None
    fate = await fate_of(books, sale, referrer)
    if fate not in BACK_INTO_THE_FEE and (fate is not Fate.PAID or sale.state not in SETTLING):
        return None
    if fate is Fate.FORFEITED:
        await _count_move(books, sale)
    journal, left = moved(sale, fate, await _key_of(books, sale, fate))
    await books.put_sale(left)
    await books.post(journal)
    return fate


async def _key_of(books: Books, sale: Sale, fate: Fate) -> str:
    return await unposted(books, partial(forfeit_key, sale.id)) if fate in BACK_INTO_THE_FEE else release_key(sale.id)


async def _count_move(books: Books, sale: Sale) -> None:
    freeze = await books.find_freeze(sale.partner_id or "", sale.term)
    if freeze is not None:
        await books.put_freeze(replace(freeze, moves=freeze.moves + 1))


async def withhold_commission(books: Books, sale_id: str) -> Journal | None:
    """Once the referrer turns out to be linked with buyer or seller: what was released of the commission goes back into
    the fee as far as it is not collected, and the rest is never paid out, out of the referrer's earned credits. What is
    not there now is withheld by another journal once something is; None where nothing is.
    """
    sale = await books.find_sale(sale_id)
    if sale is None or not sale.released or sale.partner_id is None:
        return None
    if not await is_known(books, sale.referrer_id, await buyer_of(books, sale), sale.seller_id):
        return None
    uncollected = min(sale.released, (await books.partner(sale.partner_id)).earned)
    collected = min(sale.released - uncollected, (await books.holdings(sale.referrer_id)).earned)
    if not uncollected + collected:
        return None
    key = await unposted(books, partial(commission_withheld_by, sale.id))
    journal, left = withheld_commission(sale, uncollected=uncollected, collected=collected, key=key)
    await books.put_sale(left)
    await books.post(journal)
    return journal


async def give_up(books: Books, giving_up_id: str, partner_id: str) -> int:
    """The account behind a partner is closed: what has settled goes back into the fees, and nothing settles later."""
    earned = (await books.partner(partner_id)).earned
    await books.close_partner(partner_id)
    if earned:
        await books.post(given_up_journal(giving_up_id, partner_id=partner_id, amount=earned))
    return earned


async def give_up_pending(books: Books, sale_id: str) -> None:
    """The same for what is pending of a sale's commission."""
    sale = await books.find_sale(sale_id)
    if sale is None or not sale.commission:
        return
    journal, left = moved(sale, Fate.FORGONE, await _key_of(books, sale, Fate.FORGONE), reason=CLOSED)
    await books.put_sale(left)
    await books.post(journal)


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
