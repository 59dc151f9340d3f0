"""What every payment page asks Stripe for, whether one pays once or every month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from promptforge.actors.billing.stripe.sessions import SessionRequest


@dataclass(frozen=True, slots=True)
class PageRules:
    """`success_url` and `cancel_url`: where Stripe sends the buyer's browser afterwards.

    `taxed`: Stripe Tax, set up in the account there, adds the tax of where the buyer is.
    """

    success_url: str
    cancel_url: str
    taxed: bool = False


def page_params(request: SessionRequest, rules: PageRules, **price: Any) -> dict[str, Any]:  # Any: the SDK's parameters
    """`price`: more about the price. The buyer's address is always asked for: where they are decides which law holds.

    What is paid there is the customer's, and the address given there becomes theirs, for which Stripe has to be asked.
    """
    data = {"currency": request.currency, "unit_amount": request.amount, "product_data": {"name": request.title}}
    params: dict[str, Any] = {
        "line_items": [{"quantity": 1, "price_data": {**data, **price}}],
        "client_reference_id": request.checkout_id,
        "billing_address_collection": "required",
        "automatic_tax": {"enabled": rules.taxed},
        "success_url": rules.success_url,
        "cancel_url": rules.cancel_url,
    }
    if request.customer_id is not None:
        params |= {"customer": request.customer_id, "customer_update": {"address": "auto", "name": "auto"}}
    if request.expires_at is not None:
        params["expires_at"] = int(request.expires_at.timestamp())
    return params
