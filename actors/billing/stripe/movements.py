"""What moves on the platform's balance at Stripe, and the balance itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Len
from pydantic import StrictBool, StrictInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from promptforge.actors.billing.errors import UnreadableMoney
from promptforge.actors.billing.money.domain import MoneyPage, Movement
from promptforge.actors.billing.stripe.api import StripeApi

PAGE = 100


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
    def __init__(self, api: StripeApi) -> None:
        self._api = api

    @property
    def livemode(self) -> bool:
        return self._api.livemode

    async def list_movements(self, *, since: int, after: str | None) -> MoneyPage:
        """Those made at `since` or later, the newest first, behind the one with the id `after`.

        Raises as `StripeApi.read`, or `UnreadableMoney` for what this service cannot post.
        """
        params: Any = {"limit": PAGE, "created": {"gte": since}}  # the SDK's own type is a TypedDict of its own
        if after is not None:
            params["starting_after"] = after
        answer = await self._api.read(
            lambda client: client.v1.balance_transactions.list_async(params), about="balance transactions"
        )
        try:
            page = _LIST.validate_python(answer)
        except ValidationError as error:
            raise UnreadableMoney(f"{error.error_count()} fields of balance transactions are not as expected") from None
        return MoneyPage(tuple(_movement(one) for one in page["data"]), page["has_more"])

    async def balance(self) -> Mapping[str, int]:
        """What the platform has at Stripe, available or on its way, by currency. Raises as `list_movements`."""
        answer = await self._api.read(lambda client: client.v1.balance.retrieve_async(), about="the balance")
        try:
            balance = _BALANCE.validate_python(answer)
        except ValidationError:
            raise UnreadableMoney("the balance is not as expected") from None
        sums: Counter[str] = Counter()
        for one in (*balance["available"], *balance["pending"]):
            sums[one["currency"]] += one["amount"]
        return sums


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
