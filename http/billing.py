"""Buying credits, and what operators see of the money. Stripe's webhook is in `webhooks.py`."""

from __future__ import annotations

from promptforge.actors.billing.connect.messages import BeginConnectOnboarding, GetConnectAccount
from promptforge.actors.billing.errors import (
    AdjustmentDecided,
    AlreadySubscribed,
    BankDetailsTooNew,
    DebtOutstanding,
    EventApplied,
    InsufficientCredits,
    NothingEarned,
    NothingOwed,
    NotOnboarded,
    NotSubscribed,
    OwnAdjustment,
    PayoutNotOpen,
    PayoutNotWhole,
    PayoutOnHold,
    PayoutsDisabled,
    PayoutTooSmall,
    PayoutUnderWay,
    ReportRebuilt,
    StripeRefused,
    StripeUnavailable,
    WaiverOutdated,
)
from promptforge.actors.billing.ledger.messages import (
    ApproveAdjustment,
    ListAdjustments,
    RejectAdjustment,
    RequestAdjustment,
)
from promptforge.actors.billing.messages import (
    CreateCheckout,
    GetCheckout,
    GetLedgerReport,
    GetWebhookEvent,
    GetWithdrawalWaiver,
    ListCreditPacks,
    ListWebhookEvents,
    ReplayWebhookEvent,
    RequestVerification,
)
from promptforge.actors.billing.payouts.messages import (
    GetPayout,
    HoldPayout,
    ListAllPayouts,
    ListPayouts,
    ReleasePayout,
    RequestPayout,
    WithdrawPayout,
)
from promptforge.actors.billing.receipts.messages import GetReceipt, ListCountryConflicts, ListReceipts
from promptforge.actors.billing.reconciliation.messages import RequestReconciliation
from promptforge.actors.billing.sellers.messages import (
    DownloadSellerReport,
    GetSellerDetails,
    GetTrader,
    ListSellerReport,
    RequestSellerReport,
    SetSellerDetails,
)
from promptforge.actors.billing.subscriptions.messages import (
    CancelSubscription,
    CreateSubscription,
    GetSubscription,
    ListPlans,
    ListSubscriptions,
    OpenBillingPortal,
)
from promptforge.core.errors import NotFound
from promptforge.http.routing import get, post, put

routes = [
    get("/billing/packs", ListCreditPacks),
    get("/billing/withdrawal-waiver", GetWithdrawalWaiver),
    post(
        "/billing/checkouts",
        CreateCheckout,
        status=201,
        errors=(NotFound, WaiverOutdated, StripeRefused, StripeUnavailable),
    ),
    get("/billing/checkouts/{checkout_id}", GetCheckout),
    get("/billing/plans", ListPlans),
    get("/billing/subscriptions", ListSubscriptions),
    post(
        "/billing/subscriptions",
        CreateSubscription,
        status=201,
        errors=(NotFound, AlreadySubscribed, WaiverOutdated, StripeRefused, StripeUnavailable),
    ),
    get("/billing/subscriptions/{subscription_id}", GetSubscription),
    post(
        "/billing/subscriptions/{subscription_id}/cancel",
        CancelSubscription,
        errors=(NotSubscribed, StripeRefused, StripeUnavailable),
    ),
    post("/billing/portal", OpenBillingPortal, errors=(StripeRefused, StripeUnavailable)),
    get("/billing/receipts", ListReceipts),
    get("/billing/receipts/{receipt_id}", GetReceipt),
    get("/ops/receipts/country-conflicts", ListCountryConflicts),
    get("/billing/seller-details", GetSellerDetails),
    put("/billing/seller-details", SetSellerDetails, errors=(NothingEarned,)),
    get("/marketplace/sellers/{seller_id}/trader", GetTrader),
    post("/ops/sellers/reports", RequestSellerReport, status=202, location="/jobs/{job_id}"),
    get("/ops/sellers/reports", ListSellerReport, errors=(ReportRebuilt,)),
    get("/ops/sellers/reports.csv", DownloadSellerReport),
    get("/billing/webhook-events", ListWebhookEvents),
    get("/billing/webhook-events/{event_id}", GetWebhookEvent),
    post("/billing/webhook-events/{event_id}/replay", ReplayWebhookEvent, status=202, errors=(EventApplied,)),
    post("/ops/billing/reconcile", RequestReconciliation, status=202, location="/jobs/{job_id}"),
    get("/billing/connect", GetConnectAccount),
    post(
        "/billing/connect/onboarding",
        BeginConnectOnboarding,
        errors=(NothingEarned, StripeRefused, StripeUnavailable),
    ),
    get("/billing/payouts", ListPayouts),
    post(
        "/billing/payouts",
        RequestPayout,
        status=201,
        errors=(
            BankDetailsTooNew,
            DebtOutstanding,
            InsufficientCredits,
            NothingEarned,
            NotOnboarded,
            PayoutNotWhole,
            PayoutOnHold,
            PayoutTooSmall,
            PayoutUnderWay,
            PayoutsDisabled,
        ),
    ),
    get("/billing/payouts/{payout_id}", GetPayout),
    post("/billing/payouts/{payout_id}/cancel", WithdrawPayout, errors=(PayoutNotOpen,)),
    get("/ops/payouts", ListAllPayouts),
    post("/ops/payouts/{payout_id}/hold", HoldPayout, errors=(PayoutNotOpen,)),
    post("/ops/payouts/{payout_id}/release", ReleasePayout, errors=(PayoutNotOpen,)),
    get("/ops/ledger", GetLedgerReport, errors=(NotFound,)),
    post("/ops/ledger/verification", RequestVerification, status=202, location="/jobs/{job_id}"),
    get("/ops/ledger/adjustments", ListAdjustments),
    post("/ops/ledger/adjustments", RequestAdjustment, status=201, errors=(NotFound,)),
    post(
        "/ops/ledger/adjustments/{adjustment_id}/approve",
        ApproveAdjustment,
        errors=(OwnAdjustment, AdjustmentDecided, NothingOwed),
    ),
    post("/ops/ledger/adjustments/{adjustment_id}/reject", RejectAdjustment, errors=(AdjustmentDecided,)),
]
