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

from promptforge.actors.billing.errors import StripeDeclined, StripeRefused, StripeUnavailable, UnknownAtStripe
from promptforge.core.breaker import Breaker

if TYPE_CHECKING:
    import stripe

TRY_SECONDS = 8.0
RETRIES = 2
ALL_TRIES_SECONDS = 20.0
AGAIN_SECONDS = 5.0

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
        return await self._call(work, about, repeatable_5xx=False)

    async def read(self, work: Work, *, about: str) -> Answer:
        """Call something that changes nothing.

        Raises `StripeUnavailable`, `UnknownAtStripe` where there is no such object, `StripeRefused` otherwise.
        """
        return await self._call(work, about, repeatable_5xx=True)

    async def _call(self, work: Work, about: str, *, repeatable_5xx: bool) -> Answer:
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
            raise _translated(error, about, repeatable_5xx=repeatable_5xx) from error
        finally:
            learn()
        return answer

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


def _translated(
    error: stripe.StripeError, about: str, *, repeatable_5xx: bool
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
    if isinstance(error, stripe.APIConnectionError) or status in {409, 429} or (repeatable_5xx and status >= 500):
        return StripeUnavailable(retry_after_seconds=AGAIN_SECONDS)
    if error.code == "resource_missing":
        return UnknownAtStripe(f"Stripe does not know {about}")
    return StripeDeclined(error.code or type(error).__name__, status)
