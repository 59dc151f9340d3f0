"""Buying credits, and what operators see of the money. Stripe's webhook is in `webhooks.py`."""

from __future__ import annotations

from promptforge.actors.billing.errors import (
    AdjustmentDecided,
    EventApplied,
    NothingOwed,
    OwnAdjustment,
    StripeRefused,
    StripeUnavailable,
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
    GetWebhookEvent,
    ListCreditPacks,
    ListWebhookEvents,
    ReplayWebhookEvent,
    RequestReconciliation,
    VerifyLedger,
)
from promptforge.core.errors import NotFound
from promptforge.http.routing import get, post

routes = [
    get("/billing/packs", ListCreditPacks),
    post("/billing/checkouts", CreateCheckout, status=201, errors=(NotFound, StripeRefused, StripeUnavailable)),
    get("/billing/checkouts/{checkout_id}", GetCheckout),
    get("/billing/webhook-events", ListWebhookEvents),
    get("/billing/webhook-events/{event_id}", GetWebhookEvent),
    post("/billing/webhook-events/{event_id}/replay", ReplayWebhookEvent, status=202, errors=(EventApplied,)),
    post("/ops/billing/reconcile", RequestReconciliation, status=202, location="/jobs/{job_id}"),
    get("/ops/ledger", VerifyLedger),
    get("/ops/ledger/adjustments", ListAdjustments),
    post("/ops/ledger/adjustments", RequestAdjustment, status=201, errors=(NotFound,)),
    post(
        "/ops/ledger/adjustments/{adjustment_id}/approve",
        ApproveAdjustment,
        errors=(OwnAdjustment, AdjustmentDecided, NothingOwed),
    ),
    post("/ops/ledger/adjustments/{adjustment_id}/reject", RejectAdjustment, errors=(AdjustmentDecided,)),
]
