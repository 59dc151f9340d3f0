"""Buying credits, and what operators see of the money. Stripe's webhook is in `webhooks.py`."""

from __future__ import annotations

from promptforge.actors.billing.errors import StripeRefused, StripeUnavailable
from promptforge.actors.billing.messages import (
    CreateCheckout,
    GetCheckout,
    ListCreditPacks,
    ListWebhookEvents,
    VerifyLedger,
)
from promptforge.core.errors import NotFound
from promptforge.http.routing import get, post

routes = [
    get("/billing/packs", ListCreditPacks),
    post("/billing/checkouts", CreateCheckout, status=201, errors=(NotFound, StripeRefused, StripeUnavailable)),
    get("/billing/checkouts/{checkout_id}", GetCheckout),
    get("/billing/webhook-events", ListWebhookEvents),
    get("/ops/ledger", VerifyLedger),
]
