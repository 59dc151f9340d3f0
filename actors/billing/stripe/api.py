"""Stripe's API through the SDK's asynchronous client: every call is bounded, and a Stripe that fails is left alone.

The SDK repeats a request (connection errors, 409, 5xx unless Stripe says that it would not help) with jittered backoff
and the same idempotency key; here the number of tries, the time of each and the time of all are bounded. Importing the
SDK takes a third of a second, so it is imported when the first call is made, in a thread.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from promptforge.actors.billing.errors import (
    CustomerGone,
    StripeDeclined,
    StripeRefused,
    StripeUnavailable,
    UnknownAtStripe,
)
from promptforge.core.breaker import Breaker

if TYPE_CHECKING:
    import stripe

TRY_SECONDS = 8.0
RETRIES = 2
ALL_TRIES_SECONDS = 20.0
AGAIN_SECONDS = 5.0
ACCOUNT_GONE = "account_invalid"
"""403 with this code is about a connected account that has left; any other is about our own key."""

log = structlog.get_logger(__name__)

Work = Callable[["stripe.StripeClient"], Awaitable["stripe.StripeObject"]]
Answer = dict[str, Any]  # Any: JSON, as Stripe sends it


class StripeApi:
    """One client per process. `api_base`: another Stripe. Whoever made it closes it."""

    def __init__(self, secret_key: str, *, api_base: str | None = None, try_seconds: float = TRY_SECONDS) -> None:
        self.livemode = secret_key.startswith(("sk_live_", "rk_live_"))
        self._secret_key = secret_key
        self._api_base = api_base
        self._try_seconds = try_seconds
        self._breaker = Breaker(time.monotonic)
        self._connected: tuple[stripe.StripeClient, stripe.HTTPXClient] | None = None

    async def write(self, work: Work, *, about: str) -> Answer:
        """Call something that makes or changes something; `work` sends an idempotency key that was stored before.

        Raises `StripeUnavailable` where it is not known whether it happened (the same key is sent again), and
        `StripeRefused` where this key can never succeed: Stripe stores an answered 5xx too, and replays it to the key
        (docs.stripe.com/api/idempotent_requests). `about` is for the log.
        """
        return await self._call(work, about, is_read=False)

    async def read(self, work: Work, *, about: str) -> Answer:
        """Call something that changes nothing.

        Raises `StripeUnavailable`, also where Stripe does not take our key (once it is mended the answer is another),
        `UnknownAtStripe` where there is no such object, `StripeRefused` otherwise.
        """
        return await self._call(work, about, is_read=True)

    async def _call(self, work: Work, about: str, *, is_read: bool) -> Answer:
        client = await self._client()
        import stripe  # noqa: PLC0415  # loaded by now

        resting = self._breaker.admit()
        if resting is not None:
            raise StripeUnavailable(retry_after_seconds=resting)
        learn = self._breaker.neither
        try:
            with anyio.fail_after(ALL_TRIES_SECONDS):
                answer = (await work(client)).to_dict(for_json=True)
            learn = self._breaker.succeeded
        except TimeoutError:
            learn = self._breaker.failed
            raise StripeUnavailable(retry_after_seconds=AGAIN_SECONDS) from None
        except stripe.StripeError as error:
            away = isinstance(error, stripe.APIConnectionError) or (error.http_status or 0) >= 500
            learn = self._breaker.failed if away else self._breaker.neither
            raise _translated(error, about, is_read=is_read) from error
        finally:
            learn()
        return answer

    async def _client(self) -> stripe.StripeClient:
        if self._connected is None:
            await anyio.to_thread.run_sync(importlib.import_module, "stripe")
        if self._connected is None:  # nobody else has made it meanwhile
            import stripe  # noqa: PLC0415  # loaded by now

            # A sandbox on http:// shows no certificate: reading those of all authorities would be for nothing.
            base = self._api_base
            speaks_tls = base is None or not base.startswith("http://")
            http = stripe.HTTPXClient(timeout=self._try_seconds, verify_ssl_certs=speaks_tls)
            client = stripe.StripeClient(
                self._secret_key,
                http_client=http,
                max_network_retries=RETRIES,
                base_addresses={"api": base, "connect": base, "files": base, "meter_events": base} if base else {},
            )
            self._connected = (client, http)
        return self._connected[0]

    async def close(self) -> None:
        if self._connected is not None:
            await self._connected[1].close_async()  # type: ignore[no-untyped-call]  # the SDK has no types for it


def _translated(
    error: stripe.StripeError, about: str, *, is_read: bool
) -> StripeUnavailable | StripeRefused | UnknownAtStripe:
    import stripe  # noqa: PLC0415  # loaded by now

    log.warning(
        "stripe.error",
        about=about,
        status=error.http_status,
        code=error.code,
        stripe_request_id=error.request_id,
        error=type(error).__name__,
    )
    status = error.http_status or 0
    code = error.code or (error.error.code if error.error else None)  # of 401 and 403 the SDK says it there only
    if isinstance(error, stripe.APIConnectionError) or status in {409, 429} or (is_read and status >= 500):
        return StripeUnavailable(retry_after_seconds=AGAIN_SECONDS)
    if is_read and (status == 401 or (status == 403 and code != ACCOUNT_GONE)):
        return StripeUnavailable("The payment provider does not take this service's key", retry_after_seconds=60)
    if code == "resource_missing":
        gone = CustomerGone if isinstance(error, stripe.InvalidRequestError) and error.param == "customer" else None
        return (gone or UnknownAtStripe)(f"Stripe does not know {about}")
    return StripeDeclined(code or type(error).__name__, status)
