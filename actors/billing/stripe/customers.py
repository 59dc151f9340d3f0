"""Customers at Stripe."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.claims import read


@dataclass(frozen=True, slots=True)
class _Named:
    id: str


_named = TypeAdapter(_Named)


class StripeCustomers:
    def __init__(self, api: StripeApi) -> None:
        self._api = api

    async def make(self, user_id: str, idempotency_key: str) -> str:
        """Its id; the same key always means the same customer."""
        made = await self._api.write(
            lambda client: client.v1.customers.create_async(
                {"metadata": {"user_id": user_id}}, {"idempotency_key": idempotency_key}
            ),
            about=user_id,
        )
        return read(_named, made).id
