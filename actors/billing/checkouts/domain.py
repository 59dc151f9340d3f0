"""A checkout and what a payment must say to be the payment for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.billing.messages import CheckoutState, CheckoutView
from promptforge.actors.billing.packs import CreditPack
from promptforge.actors.billing.terms import Waiver


@dataclass(frozen=True, slots=True)
class Checkout:
    """`pack` is a snapshot: what the buyer was promised, whatever is for sale by the time they pay.

    `customer_id` is Stripe's; `waiver` is what they agreed to. Checkouts of before have neither.
    """

    id: str
    user_id: str
    pack: CreditPack
    idempotency_key: str
    state: CheckoutState
    session_id: str | None
    url: str | None
    created_at: datetime
    paid_at: datetime | None
    customer_id: str | None = None
    waiver: Waiver | None = None

    @property
    def failed(self) -> bool:
        """There is no page, or its payment was not collected: what was asked for has to begin anew."""
        return self.state is CheckoutState.FAILED

    def view(self) -> CheckoutView:
        return CheckoutView(
            id=self.id,
            state=self.state,
            pack=self.pack.view(),
            amount=self.pack.price_minor_units,
            currency=self.pack.currency,
            session_id=self.session_id,
            url=self.url,
            created_at=self.created_at,
            paid_at=self.paid_at,
        )

    def mismatch(self, *, amount_subtotal: int | None, currency: str | None) -> str | None:
        """Why a payment with these figures is not for this checkout; None where it is.

        Tax and discounts are not in the subtotal, and the total is Stripe's business.
        """
        if currency != self.pack.currency:
            return f"the currency is {currency}, and the checkout's is {self.pack.currency}"
        if amount_subtotal != self.pack.price_minor_units:
            return f"the subtotal is {amount_subtotal}, and the checkout's is {self.pack.price_minor_units}"
        return None
