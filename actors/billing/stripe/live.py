"""Checkout sessions at Stripe, or at a sandbox."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from promptforge.actors.billing.errors import StripeRefused, StripeUnavailable, UnknownAtStripe
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.sessions import CheckoutSession, SessionRequest

log = structlog.get_logger(__name__)


class StripeCheckoutSessions:
    """`success_url` and `cancel_url`: where Stripe sends the buyer's browser afterwards."""

    def __init__(self, api: StripeApi, *, success_url: str, cancel_url: str) -> None:
        self._api = api
        self._success_url = success_url
        self._cancel_url = cancel_url

    @property
    def livemode(self) -> bool:
        return self._api.livemode

    async def create(self, request: SessionRequest) -> CheckoutSession:
        try:
            session = await self._api.write(
                lambda client: client.v1.checkout.sessions.create_async(
                    {
                        "mode": "payment",
                        "line_items": [
                            {
                                "quantity": 1,
                                "price_data": {
                                    "currency": request.currency,
                                    "unit_amount": request.amount,
                                    "product_data": {"name": request.title},
                                },
                            }
                        ],
                        "client_reference_id": request.checkout_id,
                        "metadata": {"checkout_id": request.checkout_id},
                        "payment_intent_data": {"metadata": {"checkout_id": request.checkout_id}},
                        "success_url": self._success_url,
                        "cancel_url": self._cancel_url,
                    },
                    {"idempotency_key": request.idempotency_key},
                ),
                about=request.checkout_id,
            )
        except UnknownAtStripe as error:
            raise StripeRefused from error
        return _read(session, request)

    async def close(self) -> None:
        await self._api.close()


def _read(session: Mapping[str, object], request: SessionRequest) -> CheckoutSession:
    identifier, url = session.get("id"), session.get("url")
    if not isinstance(identifier, str) or not (url is None or isinstance(url, str)):
        log.error("stripe.unreadable_session", checkout_id=request.checkout_id)
        raise StripeUnavailable(retry_after_seconds=5)
    return CheckoutSession(identifier, url)
