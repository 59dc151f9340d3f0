"""Credits: the ledger, the packs people buy, and what Stripe tells about it."""

from promptforge.actors.billing.actor import BillingActor
from promptforge.actors.billing.checkouts.actor import CheckoutsActor
from promptforge.actors.billing.connect.actor import ConnectActor
from promptforge.actors.billing.events.actor import StripeEventsActor
from promptforge.actors.billing.events.recording import StripeIntakeActor
from promptforge.actors.billing.figures.actor import FiguresActor
from promptforge.actors.billing.ledger.adjustments.actor import AdjustmentsActor
from promptforge.actors.billing.ledger.adjustments.expiry import GiftExpiryActor
from promptforge.actors.billing.ledger.budgets.actor import BudgetsActor
from promptforge.actors.billing.ledger.commissions.actor import CommissionsActor
from promptforge.actors.billing.ledger.commissions.settling import CommissionSettlementActor
from promptforge.actors.billing.ledger.messages import (
    CheckLedger,
    CloseRun,
    ExpireLots,
    ReserveRun,
    SealLedger,
    SettleSales,
)
from promptforge.actors.billing.ledger.payouts.actor import PayoutHoldsActor
from promptforge.actors.billing.ledger.sales.actor import SalesActor
from promptforge.actors.billing.ledger.topups.actor import TopupsActor
from promptforge.actors.billing.messages import (
    ChargePurchase,
    CreateCheckout,
    GetCheckout,
    GetCredits,
    GetLedgerReport,
    GrantCredits,
    ListCreditPacks,
    ListTransactions,
    ListWebhookEvents,
    ProcessStripeEvent,
    RecordStripeEvent,
    RequestVerification,
    SweepStripeEvents,
)
from promptforge.actors.billing.money.actor import MoneyActor
from promptforge.actors.billing.money.messages import CompareMoney, PostMoney
from promptforge.actors.billing.obligations.actor import ObligationsActor
from promptforge.actors.billing.payouts.actor import PayoutsActor
from promptforge.actors.billing.payouts.messages import SweepPayouts
from promptforge.actors.billing.payouts.sending import PayoutSendingActor
from promptforge.actors.billing.receipts.actor import ReceiptsActor
from promptforge.actors.billing.reconciliation.actor import ReconciliationActor
from promptforge.actors.billing.reconciliation.messages import ReconcileStripe
from promptforge.actors.billing.sellers.actor import SellersActor
from promptforge.actors.billing.subscriptions.actor import SubscriptionsActor

__all__ = [
    "AdjustmentsActor",
    "BillingActor",
    "BudgetsActor",
    "ChargePurchase",
    "CheckLedger",
    "CheckoutsActor",
    "CloseRun",
    "CommissionSettlementActor",
    "CommissionsActor",
    "CompareMoney",
    "ConnectActor",
    "CreateCheckout",
    "ExpireLots",
    "FiguresActor",
    "GetCheckout",
    "GetCredits",
    "GetLedgerReport",
    "GiftExpiryActor",
    "GrantCredits",
    "ListCreditPacks",
    "ListTransactions",
    "ListWebhookEvents",
    "MoneyActor",
    "ObligationsActor",
    "PayoutHoldsActor",
    "PayoutSendingActor",
    "PayoutsActor",
    "PostMoney",
    "ProcessStripeEvent",
    "ReceiptsActor",
    "ReconcileStripe",
    "ReconciliationActor",
    "RecordStripeEvent",
    "RequestVerification",
    "ReserveRun",
    "SalesActor",
    "SealLedger",
    "SellersActor",
    "SettleSales",
    "StripeEventsActor",
    "StripeIntakeActor",
    "SubscriptionsActor",
    "SweepPayouts",
    "SweepStripeEvents",
    "TopupsActor",
]
