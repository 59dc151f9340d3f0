"""Checkout sessions at Stripe, or at a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from promptforge.actors.billing.errors import CustomerGone, StripeRefused, StripeUnavailable, UnknownAtStripe
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.pages import PageRules, page_params
from promptforge.actors.billing.stripe.sessions import CheckoutSession, SessionRequest

log = structlog.get_logger(__name__)


class StripeCheckoutSessions:
    def __init__(self, api: StripeApi, pages: PageRules) -> None:
        self._api = api
        self._pages = pages

    @property
    def livemode(self) -> bool:
        return self._api.livemode

    async def create(self, request: SessionRequest) -> CheckoutSession:
        ours = {"checkout_id": request.checkout_id}
        params: Any = {  # Any: the SDK's parameters
            **page_params(request, self._pages),
            "mode": "payment",
            "metadata": ours,
            "payment_intent_data": {"metadata": ours},
            "invoice_creation": {"enabled": True, "invoice_data": {"metadata": ours}},
        }
        try:
            session = await self._api.write(
                lambda client: client.v1.checkout.sessions.create_async(
                    params, {"idempotency_key": request.idempotency_key}
                ),
                about=request.checkout_id,
            )
        except CustomerGone:
            raise
        except UnknownAtStripe as error:
            raise StripeRefused(error.detail) from error
        return _read(session, request)

    async def close(self) -> None:
        await self._api.close()


def _read(session: Mapping[str, object], request: SessionRequest) -> CheckoutSession:
    identifier, url = session.get("id"), session.get("url")
    if not isinstance(identifier, str) or not (url is None or isinstance(url, str)):
        log.error("stripe.unreadable_session", checkout_id=request.checkout_id)
        raise StripeUnavailable(retry_after_seconds=5)
    return CheckoutSession(identifier, url)
