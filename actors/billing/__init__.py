"""Credits: the ledger, the packs people buy, and what Stripe tells about it."""

from promptforge.actors.billing.actor import BillingActor
from promptforge.actors.billing.checkouts.actor import CheckoutsActor
from promptforge.actors.billing.events.actor import StripeEventsActor
from promptforge.actors.billing.messages import (
    ChargePurchase,
    CloseRun,
    CreateCheckout,
    GetCheckout,
    GetCredits,
    GrantCredits,
    ListCreditPacks,
    ListTransactions,
    ListWebhookEvents,
    ProcessStripeEvent,
    RecordStripeEvent,
    ReserveRun,
    VerifyLedger,
)

__all__ = [
    "BillingActor",
    "ChargePurchase",
    "CheckoutsActor",
    "CloseRun",
    "CreateCheckout",
    "GetCheckout",
    "GetCredits",
    "GrantCredits",
    "ListCreditPacks",
    "ListTransactions",
    "ListWebhookEvents",
    "ProcessStripeEvent",
    "RecordStripeEvent",
    "ReserveRun",
    "StripeEventsActor",
    "VerifyLedger",
]
