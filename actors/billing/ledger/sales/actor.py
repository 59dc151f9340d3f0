"""Refunds and settles sales."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from promptforge.actors.billing.ledger.commissions.commands import withhold_commission
from promptforge.actors.billing.ledger.commissions.messages import SettleCommissions
from promptforge.actors.billing.ledger.domain import Fund, Owed, Platform
from promptforge.actors.billing.ledger.messages import (
    CompensateSale,
    ReverseSale,
    SaleCompensated,
    SaleReversed,
    SettleSales,
    SettleSeller,
    WithholdLinked,
)
from promptforge.actors.billing.ledger.sales.commands import refund, settle, withhold
from promptforge.actors.billing.ledger.sales.compensating import compensate, is_compensation, return_key
from promptforge.actors.billing.ledger.sales.domain import Sale, Terms
from promptforge.actors.billing.ledger.telling import tell_of_debts
from promptforge.actors.billing.ledger.transaction import Ledger, session_of
from promptforge.actors.billing.notices import SALE_REFUNDED, SALE_UNDONE
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
from promptforge.core.failpoints import reach
from promptforge.core.runtime import Actor, handles

FOLDED_AFTER = timedelta(minutes=5)
"""By then no transaction is open that could add an earlier leg: MongoDB ends one after 60 s."""
AT_ONCE = 25
"""Sales that settle in one transaction; it is some 200 writes."""


class SalesActor(Actor):
    """A seller's settlement is a job of its own: a popular seller keeps nobody waiting."""

    name = "sales"

    def __init__(self, ledger: Ledger, *, terms: Terms) -> None:
        self._ledger = ledger
        self._terms = terms

    @handles(ReverseSale, key="purchase_id", transactional=True)
    async def reverse(self, message: ReverseSale, context: Context) -> SaleReversed:
        async def work(tx: Context) -> SaleReversed:
            journal, first = await refund(self._ledger.open(tx), message.purchase_id, reason=message.reason)
            if first:
                await tell_of_debts(journal, SALE_REFUNDED, tx)
                facts = {"journal_id": journal.id, "reason": message.reason}
                await tx.audit("sale.reversed", message.purchase_id, after=facts)
            return SaleReversed(journal.id, first)

        return await context.transaction(work)

    @handles(CompensateSale, key="purchase_id", transactional=True)
    async def compensate(self, message: CompensateSale, context: Context) -> SaleCompensated:
        async def work(tx: Context) -> SaleCompensated:
            journal, first = await compensate(self._ledger.open(tx), message.purchase_id, reason=message.reason)
            amount = 0 if journal is None else journal.total(Owed.PENDING)
            if journal is not None and first:
                seller_id = journal.refs["seller_id"]
                facts = {"journal_id": journal.id, "user_id": seller_id, "credits": from_millicredits(amount)}
                await tx.audit("sale.compensated", message.purchase_id, after=facts)
                await tx.enqueue(SettleSeller(seller_id=seller_id), unique=f"settle:{seller_id}")
                reach("compensation.before_commit")
            return SaleCompensated(amount, first)

        return await context.transaction(work)

    @handles(SettleSales)
    async def settle_sales(self, message: SettleSales, context: Context) -> int:
        due = context.now() - self._terms.window
        found = 0
        seller_id = await self._ledger.sales.next_seller("", sold_until=due)
        while seller_id is not None:
            await context.enqueue(SettleSeller(seller_id=seller_id), unique=f"settle:{seller_id}")
            found += 1
            seller_id = await self._ledger.sales.next_seller(seller_id, sold_until=due)
        partner_id = await self._ledger.commissions.next_partner("")
        while partner_id is not None:
            await _settle_commissions(partner_id, context)
            partner_id = await self._ledger.commissions.next_partner(partner_id)
        return found

    @handles(SettleSeller, key="seller_id")
    async def settle_seller(self, message: SettleSeller, context: Context) -> int:
        """Twice at once does nothing twice: every sale settles under a key of its own."""
        due = context.now() - self._terms.window
        settled: list[Sale] = []
        after: Sale | None = None
        while True:
            sales = await self._ledger.sales.list_open(message.seller_id, sold_until=due, after=after, limit=AT_ONCE)
            if not sales:
                break
            settled += await context.transaction(partial(self._settle, sales))
            after = sales[-1]
        reach("settlement.before_fold")
        await context.transaction(lambda tx: self._fold(message.seller_id, tx))
        for partner_id in sorted({sale.partner_id for sale in settled if sale.commission and sale.partner_id}):
            await _settle_commissions(partner_id, context)  # lost with this process, `SettleSales` finds them
        return len(settled)

    @handles(WithholdLinked, key="user_id")
    async def withhold_linked(self, message: WithholdLinked, context: Context) -> int:
        """All of a group, for two groups may have become one. Twice at once does nothing twice, as with settlement."""
        group, done = await self._ledger.links.group_of(message.user_id), 0
        for seller_id in group:
            others, after = [user for user in group if user != seller_id], ""
            while sales := await self._ledger.sales.list_earned_from(seller_id, others, after=after, limit=AT_ONCE):
                done += await context.transaction(partial(self._withhold, sales))
                after = sales[-1].id
            if others:
                done += await self._withhold_commissions(seller_id, group, context)
        return done

    async def _withhold_commissions(self, referrer_id: str, group: Sequence[str], context: Context) -> int:
        store, done, after = self._ledger.commissions, 0, ""
        while sales := await store.list_released(referrer_id, group, after=after, limit=AT_ONCE):
            done += await context.transaction(partial(self._withhold, sales, commissions=True))
            after = sales[-1].id
        return done

    async def _withhold(self, sales: list[Sale], tx: Context, *, commissions: bool = False) -> int:
        books, done = self._ledger.open(tx), 0
        take, what = (withhold_commission, "commission") if commissions else (withhold, "sale")
        for sale in sales:
            if (journal := await take(books, sale.id)) is not None:
                taken = journal.total(Fund.GRANTED) + journal.total(Platform.FEES)
                facts = {"user_id": journal.parties[0], "credits": from_millicredits(taken)}
                await tx.audit(f"{what}.withheld", sale.id, after=facts)
                done += 1
        reach("withholding.before_commit")
        return done

    async def _settle(self, sales: list[Sale], tx: Context) -> list[Sale]:
        books = self._ledger.open(tx)
        outcomes = [await settle(books, sale.id, self._terms) for sale in sales]
        for sale in filter(is_compensation, sales):  # whose payment was lost meanwhile: it went back instead
            await tell_of_debts(await books.find_journal(return_key(sale)), SALE_UNDONE, tx)
        reach("settlement.before_commit")
        return [left for left in outcomes if left is not None]

    async def _fold(self, seller_id: str, tx: Context) -> None:
        until = tx.now() - FOLDED_AFTER
        await self._ledger.entries.fold_pending(seller_id, until=until, session=session_of(tx))


async def _settle_commissions(partner_id: str, context: Context) -> None:
    await context.enqueue(SettleCommissions(partner_id=partner_id), unique=f"commissions:{partner_id}")
