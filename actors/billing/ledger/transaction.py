"""The ledger's books in one MongoDB transaction.

What is read is the transaction's snapshot. Two transactions that write the same document conflict, and the second runs
again on what the first left; so a rule that reads a document and writes it holds under any concurrency. A sale is the
exception that keeps popular sellers fast: its legs and its `ledger_sales` document are new, and no document of the
seller's is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.billing.ledger.books import MOST_SALES, Books
from promptforge.actors.billing.ledger.budgets.domain import Budget
from promptforge.actors.billing.ledger.budgets.store import BudgetStore
from promptforge.actors.billing.ledger.commissions.domain import Freeze, PartnerBalance
from promptforge.actors.billing.ledger.commissions.store import CommissionStore
from promptforge.actors.billing.ledger.domain import Journal
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.payouts.domain import Payout
from promptforge.actors.billing.ledger.payouts.store import PayoutStore
from promptforge.actors.billing.ledger.sales.domain import Sale
from promptforge.actors.billing.ledger.sales.store import SaleStore
from promptforge.actors.billing.ledger.store import LedgerStore
from promptforge.actors.billing.ledger.topups.domain import Topup
from promptforge.actors.billing.ledger.topups.store import TopupStore
from promptforge.actors.billing.links.store import LinkStore
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo, Session


def session_of(tx: Context) -> Session:
    """Raises where `tx` is no transaction: the ledger is written in one only."""
    if tx.session is None:
        raise RuntimeError("the ledger is written in a transaction only")
    return tx.session


class Ledger:
    """The stores of the ledger, and the books that a transaction opens on them."""

    def __init__(self, mongo: Mongo) -> None:
        self.entries = LedgerStore(mongo)
        self.sales = SaleStore(mongo)
        self.topups = TopupStore(mongo)
        self.payouts = PayoutStore(mongo)
        self.budgets = BudgetStore(mongo)
        self.commissions = CommissionStore(mongo)
        self.links = LinkStore(mongo)

    def open(self, tx: Context) -> MongoBooks:
        return MongoBooks(self, session_of(tx), tx.now())


class MongoBooks(Books):
    def __init__(self, ledger: Ledger, session: Session, now: datetime) -> None:
        self._ledger = ledger
        self._session = session
        self._now = now

    @property
    def now(self) -> datetime:
        return self._now

    async def holdings(self, user_id: str) -> Holdings:
        return await self._ledger.entries.get_holdings(user_id, session=self._session)

    async def find_journal(self, journal_id: str) -> Journal | None:
        return await self._ledger.entries.find_journal(journal_id, session=self._session)

    async def post(self, journal: Journal) -> bool:
        return await self._ledger.entries.post(journal, now=self._now, session=self._session)

    async def find_sale(self, sale_id: str) -> Sale | None:
        return await self._ledger.sales.find(sale_id, session=self._session)

    async def put_sale(self, sale: Sale) -> None:
        await self._ledger.sales.put(sale, session=self._session)

    async def open_sales(self, seller_id: str) -> Sequence[Sale]:
        return await self._ledger.sales.open_of(seller_id, session=self._session)

    async def open_sales_paid_with(self, lot: str) -> Sequence[Sale]:
        return await self._ledger.sales.open_paid_with(lot, session=self._session)

    async def has_settled_since_before(self, seller_id: str, moment: datetime) -> bool:
        return await self._ledger.sales.has_settled_since_before(seller_id, moment, session=self._session)

    async def earned_of_linked(self, seller_id: str) -> Sequence[Sale]:
        group = await self._ledger.links.group_of(seller_id, session=self._session)
        others = [user for user in group if user != seller_id]
        if not others:
            return ()
        sales = self._ledger.sales
        return await sales.list_earned_from(seller_id, others, limit=MOST_SALES, session=self._session)

    async def commissions_of_linked(self, referrer_id: str) -> Sequence[Sale]:
        group = await self._ledger.links.group_of(referrer_id, session=self._session)
        if len(group) < 2:
            return ()
        commissions = self._ledger.commissions
        return await commissions.list_released(referrer_id, group, limit=MOST_SALES, session=self._session)

    async def are_linked(self, one: str, other: str) -> bool:
        return await self._ledger.links.are_linked(one, other, session=self._session)

    async def find_topup(self, topup_id: str) -> Topup | None:
        return await self._ledger.topups.find(topup_id, session=self._session)

    async def put_topup(self, topup: Topup) -> None:
        await self._ledger.topups.put(topup, session=self._session)

    async def has_open_dispute(self, user_id: str) -> bool:
        return await self._ledger.topups.has_open_dispute(user_id, session=self._session)

    async def freeze_lot(self, user_id: str, lot: str, *, frozen: bool) -> None:
        await self._ledger.entries.freeze_lot(user_id, lot, frozen=frozen, session=self._session)

    async def find_budget(self, budget_id: str) -> Budget | None:
        return await self._ledger.budgets.find(budget_id, session=self._session)

    async def open_budgets(self, subject: str) -> Sequence[Budget]:
        return await self._ledger.budgets.open_of(subject, session=self._session)

    async def put_budget(self, budget: Budget) -> None:
        await self._ledger.budgets.put(budget, session=self._session)

    async def partner(self, partner_id: str) -> PartnerBalance:
        return await self._ledger.commissions.balance_of(partner_id, session=self._session)

    async def begin_term(self, partner_id: str, term: int) -> None:
        await self._ledger.commissions.begin_term(partner_id, term, session=self._session)

    async def close_partner(self, partner_id: str) -> None:
        await self._ledger.commissions.close(partner_id, session=self._session)

    async def find_freeze(self, partner_id: str, term: int) -> Freeze | None:
        return await self._ledger.commissions.find_freeze(partner_id, term, session=self._session)

    async def put_freeze(self, freeze: Freeze) -> None:
        await self._ledger.commissions.put_freeze(freeze, session=self._session)

    async def find_payout(self, payout_id: str) -> Payout | None:
        return await self._ledger.payouts.find(payout_id, session=self._session)

    async def put_payout(self, payout: Payout) -> None:
        await self._ledger.payouts.put(payout, session=self._session)
