"""Checkout sessions without a network, for development and tests: there is no page, and nobody pays.

Whoever holds the webhook secret says that a session was paid by sending the signed event. The process that is wired for
production never makes this class.
"""

from __future__ import annotations

import hashlib

from promptforge.actors.billing.stripe.sessions import CheckoutSession, SessionRequest


class DevelopmentCheckoutSessions:
    """Like Stripe's: one key, one session."""

    livemode = False

    async def create(self, request: SessionRequest) -> CheckoutSession:
        digest = hashlib.sha256(request.idempotency_key.encode()).hexdigest()
        return CheckoutSession(id=f"cs_test_{digest[:40]}", url=None)

    async def close(self) -> None:
        """There is nothing to let go of."""
