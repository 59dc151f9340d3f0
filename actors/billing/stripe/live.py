"""Checkout sessions at Stripe, through the SDK's asynchronous client.

The SDK repeats a request (connection errors, 409, 5xx unless Stripe says that it would not help) with jittered backoff
and the same idempotency key; here the number of tries, the time of each and the time of all are bounded. Importing the
SDK takes a third of a second, so it is imported when the first session is made, in a thread.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import anyio
import structlog

from promptforge.actors.billing.errors import StripeRefused, StripeUnavailable
from promptforge.actors.billing.stripe.sessions import CheckoutSession, SessionRequest

if TYPE_CHECKING:
    import stripe

TRY_SECONDS = 8.0
RETRIES = 2
ALL_TRIES_SECONDS = 20.0

log = structlog.get_logger(__name__)


class StripeCheckoutSessions:
    """`success_url` and `cancel_url`: where Stripe sends the buyer's browser afterwards. `api_base`: another Stripe."""

    def __init__(
        self,
        secret_key: str,
        *,
        success_url: str,
        cancel_url: str,
        api_base: str | None = None,
        try_seconds: float = TRY_SECONDS,
    ) -> None:
        self.livemode = secret_key.startswith(("sk_live_", "rk_live_"))
        self._secret_key = secret_key
        self._success_url = success_url
        self._cancel_url = cancel_url
        self._api_base = api_base
        self._try_seconds = try_seconds
        self._connected: tuple[stripe.StripeClient, stripe.HTTPXClient] | None = None

    async def create(self, request: SessionRequest) -> CheckoutSession:
        client = await self._client()
        import stripe  # noqa: PLC0415  # loaded by now

        try:
            with anyio.fail_after(ALL_TRIES_SECONDS):
                session = await client.v1.checkout.sessions.create_async(
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
                        "success_url": self._success_url,
                        "cancel_url": self._cancel_url,
                    },
                    {"idempotency_key": request.idempotency_key},
                )
        except TimeoutError:
            raise StripeUnavailable(retry_after_seconds=5) from None
        except stripe.StripeError as error:
            raise _translated(error, request) from error
        return _read(session.to_dict(), request)

    async def _client(self) -> stripe.StripeClient:
        if self._connected is None:
            await anyio.to_thread.run_sync(importlib.import_module, "stripe")
        if self._connected is None:  # nobody else has made it meanwhile
            import stripe  # noqa: PLC0415  # loaded by now

            http = stripe.HTTPXClient(timeout=self._try_seconds)
            client = stripe.StripeClient(
                self._secret_key,
                http_client=http,
                max_network_retries=RETRIES,
                base_addresses={"api": self._api_base} if self._api_base else {},
            )
            self._connected = (client, http)
        return self._connected[0]

    async def close(self) -> None:
        if self._connected is not None:
            await self._connected[1].close_async()  # type: ignore[no-untyped-call]  # the SDK has no types for it


def _translated(error: stripe.StripeError, request: SessionRequest) -> StripeUnavailable | StripeRefused:
    """What an error means for the key: not answered, too many requests and a key in use leave it usable.

    An answered 5xx does not: Stripe stores it and replays it to the same key (docs.stripe.com/api/idempotent_requests).
    """
    import stripe  # noqa: PLC0415  # loaded by now

    log.warning(
        "stripe.error",
        checkout_id=request.checkout_id,
        status=error.http_status,
        code=error.code,
        stripe_request_id=error.request_id,
        error=type(error).__name__,
    )
    if isinstance(error, stripe.APIConnectionError) or error.http_status in {409, 429}:
        return StripeUnavailable(retry_after_seconds=5)
    return StripeRefused()


def _read(session: Mapping[str, object], request: SessionRequest) -> CheckoutSession:
    identifier, url = session.get("id"), session.get("url")
    if not isinstance(identifier, str) or not (url is None or isinstance(url, str)):
        log.error("stripe.unreadable_session", checkout_id=request.checkout_id)
        raise StripeUnavailable(retry_after_seconds=5)
    return CheckoutSession(identifier, url)
