"""Checkout sessions as this feature needs them; `live.py` makes them at Stripe, or at a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """A payment page to be made. The same `idempotency_key` always means the same page, and never two.

    `expires_at`: when the page passes, if before Stripe's 24 hours.
    """

    checkout_id: str
    idempotency_key: str
    title: str
    amount: int
    currency: str
    customer_id: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """Stripe's session. `url` is the payment page; a session that is not open has none."""

    id: str
    url: str | None


class CheckoutSessions(Protocol):
    """`livemode`: whether real money moves; events of the other mode are refused."""

    @property
    def livemode(self) -> bool: ...

    async def create(self, request: SessionRequest) -> CheckoutSession:
        """Make the page, or answer the one that this key has made before.

        Raises `StripeUnavailable` where it is not known whether the page exists (send the same request again), and
        `StripeRefused` where this key can never have one, or `CustomerGone` where that is because the customer was
        deleted there.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; nothing can be created afterwards."""
        ...
