"""The stores of this feature, and every index that they declare, for whoever puts a process together."""

from __future__ import annotations

from promptforge.actors.billing.checkouts import store as checkouts
from promptforge.actors.billing.checkouts.store import CheckoutStore
from promptforge.actors.billing.connect import store as connect
from promptforge.actors.billing.connect.store import ConnectStore
from promptforge.actors.billing.customers import store as customers
from promptforge.actors.billing.customers.store import CustomerStore
from promptforge.actors.billing.events import store as events
from promptforge.actors.billing.events.store import DisputeStore, EventStore
from promptforge.actors.billing.figures.store import FigureStore
from promptforge.actors.billing.ledger import sealing
from promptforge.actors.billing.ledger import store as ledger
from promptforge.actors.billing.ledger.adjustments import store as adjustments
from promptforge.actors.billing.ledger.adjustments.store import AdjustmentStore
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.budgets import store as budgets
from promptforge.actors.billing.ledger.commissions import store as commissions
from promptforge.actors.billing.ledger.payouts import store as payout_holds
from promptforge.actors.billing.ledger.sales import store as sales
from promptforge.actors.billing.ledger.sales.domain import Terms
from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.billing.ledger.store import LedgerStore
from promptforge.actors.billing.ledger.topups import store as topups
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.billing.links import store as links
from promptforge.actors.billing.money import store as money
from promptforge.actors.billing.money.store import MoneyStore
from promptforge.actors.billing.payouts import store as payouts
from promptforge.actors.billing.payouts.store import PayoutStore
from promptforge.actors.billing.receipts import store as receipts
from promptforge.actors.billing.receipts.store import ReceiptStore
from promptforge.actors.billing.sellers import store as sellers
from promptforge.actors.billing.sellers.store import SellerStore
from promptforge.actors.billing.subscriptions import store as subscriptions
from promptforge.actors.billing.subscriptions.store import SubscriptionStore
from promptforge.actors.billing.verification import store as verification
from promptforge.actors.billing.verification.store import ReportStore
from promptforge.core.mongo import Index
from promptforge.core.personal import Held

__all__ = [
    "HELD",
    "INDEXES",
    "AdjustmentStore",
    "CheckoutStore",
    "ConnectStore",
    "CustomerStore",
    "DisputeStore",
    "EventStore",
    "FigureStore",
    "Ledger",
    "LedgerAudit",
    "LedgerSeals",
    "LedgerStore",
    "MoneyStore",
    "PayoutStore",
    "ReceiptStore",
    "ReportStore",
    "SellerStore",
    "SubscriptionStore",
    "Terms",
]

INDEXES: dict[str, tuple[Index, ...]] = {
    **ledger.INDEXES,
    **sales.INDEXES,
    **topups.INDEXES,
    **links.INDEXES,
    **payout_holds.INDEXES,
    **budgets.INDEXES,
    **commissions.INDEXES,
    **connect.INDEXES,
    **payouts.INDEXES,
    **adjustments.INDEXES,
    **sealing.INDEXES,
    **checkouts.INDEXES,
    **customers.INDEXES,
    **events.INDEXES,
    **money.INDEXES,
    **receipts.INDEXES,
    **sellers.INDEXES,
    **subscriptions.INDEXES,
    **verification.INDEXES,
}
HELD: dict[str, Held] = {
    **ledger.HELD,
    **sales.HELD,
    **topups.HELD,
    **links.HELD,
    **payout_holds.HELD,
    **budgets.HELD,
    **commissions.HELD,
    **connect.HELD,
    **payouts.HELD,
    **adjustments.HELD,
    **sealing.HELD,
    **checkouts.HELD,
    **customers.HELD,
    **events.HELD,
    **money.HELD,
    **receipts.HELD,
    **sellers.HELD,
    **subscriptions.HELD,
    **verification.HELD,
}
