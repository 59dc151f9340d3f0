"""What moves on the platform's balance at Stripe, and the balance itself, through the SDK's asynchronous client.

Reading is safe to repeat, so the SDK may; it is imported when it is first needed, as in `live.py`.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import anyio
import structlog
from annotated_types import Len
from pydantic import StrictBool, StrictInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from promptforge.actors.billing.errors import StripeUnavailable, UnreadableMoney
from promptforge.actors.billing.money.domain import MoneyPage, Movement

if TYPE_CHECKING:
    import stripe

TRY_SECONDS = 20.0
RETRIES = 2
ALL_TRIES_SECONDS = 60.0
PAGE = 100

T = TypeVar("T")
log = structlog.get_logger(__name__)


class _Transaction(TypedDict):
    id: Annotated[str, Len(1, 255)]
    currency: Annotated[str, Len(3, 3)]
    amount: StrictInt
    fee: StrictInt
    net: StrictInt
    reporting_category: Annotated[str, Len(1, 100)]
    source: str | None
    created: StrictInt


class _List(TypedDict):
    data: list[_Transaction]
    has_more: StrictBool


class _Amount(TypedDict):
    amount: StrictInt
    currency: Annotated[str, Len(3, 3)]


class _Balance(TypedDict):
    available: list[_Amount]
    pending: list[_Amount]


_LIST = TypeAdapter(_List)
_BALANCE = TypeAdapter(_Balance)


class StripeMoney:
    """`api_base`: another Stripe."""

    def __init__(self, secret_key: str, *, api_base: str | None = None) -> None:
        self.livemode = secret_key.startswith(("sk_live_", "rk_live_"))
        self._secret_key = secret_key
        self._api_base = api_base
        self._connected: tuple[stripe.StripeClient, stripe.HTTPXClient] | None = None

    async def list_movements(self, *, since: int, after: str | None) -> MoneyPage:
        """Those made at `since` or later, the newest first, behind the one with the id `after`.

        Raises `StripeUnavailable`, or `UnreadableMoney` for what this service cannot post.
        """
        client = await self._client()
        params: Any = {"limit": PAGE, "created": {"gte": since}}  # the SDK's own type is a TypedDict of its own
        if after is not None:
            params["starting_after"] = after
        answer = await _asked(client.v1.balance_transactions.list_async(params))
        try:
            page = _LIST.validate_python(answer.to_dict())
        except ValidationError as error:
            raise UnreadableMoney(f"{error.error_count()} fields of balance transactions are not as expected") from None
        return MoneyPage(tuple(_movement(one) for one in page["data"]), page["has_more"])

    async def balance(self) -> Mapping[str, int]:
        """What the platform has at Stripe, available or on its way, by currency. Raises as `list_movements`."""
        client = await self._client()
        answer = await _asked(client.v1.balance.retrieve_async())
        try:
            balance = _BALANCE.validate_python(answer.to_dict())
        except ValidationError:
            raise UnreadableMoney("the balance is not as expected") from None
        sums: Counter[str] = Counter()
        for one in (*balance["available"], *balance["pending"]):
            sums[one["currency"]] += one["amount"]
        return sums

    async def _client(self) -> stripe.StripeClient:
        if self._connected is None:
            await anyio.to_thread.run_sync(importlib.import_module, "stripe")
        if self._connected is None:  # nobody else has made it meanwhile
            import stripe  # noqa: PLC0415  # loaded by now

            http = stripe.HTTPXClient(timeout=TRY_SECONDS)
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


async def _asked(call: Awaitable[T]) -> T:
    import stripe  # noqa: PLC0415  # loaded by now

    try:
        with anyio.fail_after(ALL_TRIES_SECONDS):
            return await call
    except TimeoutError:
        raise StripeUnavailable(retry_after_seconds=60) from None
    except stripe.StripeError as error:
        log.warning("stripe.error", status=error.http_status, code=error.code, stripe_request_id=error.request_id)
        raise StripeUnavailable(retry_after_seconds=60) from error


def _movement(one: _Transaction) -> Movement:
    if one["net"] != one["amount"] - one["fee"]:
        raise UnreadableMoney(f"{one['id']}: {one['amount']} less {one['fee']} is not {one['net']}")
    return Movement(
        id=one["id"],
        currency=one["currency"],
        amount=one["amount"],
        fee=one["fee"],
        net=one["net"],
        kind=one["reporting_category"],
        source=one["source"],
        created=one["created"],
    )
