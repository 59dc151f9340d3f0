"""Stripe's lists, page by page: events, refunds and disputes of a span of time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from promptforge.actors.billing.stripe.api import Answer, StripeApi
from promptforge.actors.billing.stripe.claims import Dispute, Refund, read

PAGE = 100
TYPES_AT_ONCE = 20
"""More types of events Stripe takes at once not (docs.stripe.com/api/events/list)."""

_refunds, _disputes = TypeAdapter(list[Refund]), TypeAdapter(list[Dispute])


class StripeListing:
    """`since` and `until` bound when the object was made."""

    def __init__(self, api: StripeApi) -> None:
        self._api = api

    async def events(self, types: Sequence[str], *, since: datetime, until: datetime) -> AsyncIterator[list[Answer]]:
        """As they are sent; Stripe keeps them for 30 days."""
        for start in range(0, len(types), TYPES_AT_ONCE):
            wanted = {"types": list(types[start : start + TYPES_AT_ONCE])}
            async for page in self._pages("events", since, until, wanted):
                yield page

    async def refunds(self, *, since: datetime, until: datetime) -> AsyncIterator[list[Refund]]:
        async for page in self._pages("refunds", since, until, {}):
            yield read(_refunds, page)

    async def disputes(self, *, since: datetime, until: datetime) -> AsyncIterator[list[Dispute]]:
        async for page in self._pages("disputes", since, until, {}):
            yield read(_disputes, page)

    async def _pages(
        self, kind: str, since: datetime, until: datetime, wanted: dict[str, Any]
    ) -> AsyncIterator[list[Answer]]:
        """Newest first, as Stripe lists them: what is made meanwhile is not missed, it comes before the first page."""
        between = {"gte": int(since.timestamp()), "lte": int(until.timestamp())}
        params: dict[str, Any] = {"limit": PAGE, "created": between, **wanted}
        while True:
            page = await self._api.read(
                lambda client, params=dict(params): getattr(client.v1, kind).list_async(params),  # type: ignore[misc]  # of a lambda's default mypy knows nothing
                about=kind,
            )
            yield page["data"]
            if not page["has_more"]:
                return
            params["starting_after"] = page["data"][-1]["id"]
