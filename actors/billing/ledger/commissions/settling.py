"""Moves commissions whose sale has settled: to their partner, back into the fee, or not yet.

A partner's commissions are moved by that partner's job alone, so that the many sellers of a popular partner, who settle
at the same time, share no document. Whatever a job finds undecided, disputed or suspended it leaves pending on its
sale, and the next one looks at it again; so nothing has to be told that a dispute or a suspension is over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from promptforge.actors.billing.ledger.commissions import appeals, commands
from promptforge.actors.billing.ledger.commissions.domain import Fate
from promptforge.actors.billing.ledger.commissions.messages import (
    CarryOutFreeze,
    GiveUpCommissions,
    RestoreForfeited,
    SettleCommissions,
)
from promptforge.actors.billing.ledger.sales.domain import Sale
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.partnerships.referrals.messages import JudgeReferrer, ReferrerStanding
from promptforge.core.context import Context
from promptforge.core.failpoints import reach
from promptforge.core.ids import new_id
from promptforge.core.runtime import Actor, handles

AT_ONCE = 25
"""Sales in one transaction; it is some 150 writes."""
Listing = Callable[[str], Awaitable[list[Sale]]]


class CommissionSettlementActor(Actor):
    """Twice at once does nothing twice: every sale's move has a key of its own, and writes the sale."""

    name = "commission_settlement"
    asks = ("referrals",)

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @handles(SettleCommissions, key="partner_id")
    async def settle(self, message: SettleCommissions, context: Context) -> int:
        store, partner_id = self._ledger.commissions, message.partner_id
        undecided = await store.list_undecided_terms(partner_id)
        return await self._move(partial(store.list_settled, partner_id, undecided, limit=AT_ONCE), context)

    @handles(CarryOutFreeze, key="partner_id")
    async def carry_out(self, message: CarryOutFreeze, context: Context) -> int:
        store = self._ledger.commissions
        return await self._move(partial(store.list_pending, message.partner_id, message.term, limit=AT_ONCE), context)

    @handles(RestoreForfeited, key="partner_id")
    async def restore(self, message: RestoreForfeited, context: Context) -> int:
        """And what the forfeiture had not come to yet goes the same way."""
        store, partner_id, term = self._ledger.commissions, message.partner_id, message.term
        done, after = 0, ""
        while sales := await store.list_forfeited(partner_id, term, after, limit=AT_ONCE):
            done += await context.transaction(partial(self._restore, sales))
            after = sales[-1].id
        return done + await self._move(partial(store.list_pending, partner_id, term, limit=AT_ONCE), context)

    async def _restore(self, sales: list[Sale], tx: Context) -> int:
        books = self._ledger.open(tx)
        moved = [await appeals.restore(books, sale.id, await _judged(sale, tx)) for sale in sales]
        reach("commissions.restored")
        return sum(moved)

    @handles(GiveUpCommissions, key="partner_id")
    async def give_up(self, message: GiveUpCommissions, context: Context) -> int:
        giving_up_id, partner_id = new_id("gup"), message.partner_id
        await self._ledger.commissions.drop_appeals(partner_id)
        await context.transaction(lambda tx: commands.give_up(self._ledger.open(tx), giving_up_id, partner_id))
        done = 0
        while sales := await self._ledger.commissions.list_left(partner_id, limit=AT_ONCE):
            await context.transaction(partial(self._give_up, sales))
            reach("commissions.given_up")
            done += len(sales)
        return done

    async def _give_up(self, sales: list[Sale], tx: Context) -> None:
        books = self._ledger.open(tx)
        for sale in sales:
            await commands.give_up_pending(books, sale.id)

    async def _move(self, listing: Listing, context: Context) -> int:
        done, after = 0, ""
        while sales := await listing(after):
            done += await context.transaction(partial(self._settle, sales))
            after = sales[-1].id
        return done

    async def _settle(self, sales: list[Sale], tx: Context) -> int:
        books = self._ledger.open(tx)
        fates: list[Fate | None] = [await commands.settle(books, sale.id, await _judged(sale, tx)) for sale in sales]
        reach("commissions.before_commit")
        return sum(fate is not None for fate in fates)


async def _judged(sale: Sale, tx: Context) -> ReferrerStanding:
    """Of before referrers were known to a sale, nothing is said against."""
    if not sale.referrer_id:
        return commands.HONEST
    return await tx.ask(JudgeReferrer(referrer_id=sale.referrer_id, buyer_id=sale.buyer_id))
