"""Subscriptions, their invoices and the billing portal, at Stripe."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import StrictInt, TypeAdapter

from promptforge.actors.billing.errors import StripeRefused, UnknownAtStripe
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.claims import read
from promptforge.actors.billing.stripe.pages import PageRules, page_params
from promptforge.actors.billing.stripe.sessions import CheckoutSession, SessionRequest


@dataclass(frozen=True, slots=True)
class _Item:
    current_period_end: StrictInt


@dataclass(frozen=True, slots=True)
class _Items:
    data: tuple[_Item, ...]


@dataclass(frozen=True, slots=True)
class SubscriptionAtStripe:
    """How a subscription stands. The period is its items' since 2025-03-31."""

    id: str
    customer: str
    status: str
    items: _Items
    cancel_at: StrictInt | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> str | None:
        """Our own id, which we gave it."""
        return self.metadata.get("subscription_id")

    @property
    def paid_until(self) -> datetime | None:
        ends = [item.current_period_end for item in self.items.data]
        return _moment(min(ends)) if ends else None

    @property
    def ends_at(self) -> datetime | None:
        return _moment(self.cancel_at) if self.cancel_at is not None else None


@dataclass(frozen=True, slots=True)
class _Tax:
    amount: StrictInt


@dataclass(frozen=True, slots=True)
class _OfSubscription:
    subscription: str
    metadata: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Parent:
    subscription_details: _OfSubscription | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    """`subtotal` is before tax. `parent` says of which subscription it is."""

    id: str
    status: str | None
    billing_reason: str | None
    customer: str
    currency: str
    subtotal: StrictInt
    total: StrictInt
    parent: _Parent | None = None
    hosted_invoice_url: str | None = None
    total_taxes: tuple[_Tax, ...] | None = None

    @property
    def paid(self) -> bool:
        return self.status == "paid"

    @property
    def tax(self) -> int:
        return sum(tax.amount for tax in self.total_taxes or ())

    @property
    def subscription_id(self) -> str | None:
        """Stripe's id of the subscription."""
        details = self.parent.subscription_details if self.parent else None
        return details.subscription if details else None


@dataclass(frozen=True, slots=True)
class _State:
    status: str | None


@dataclass(frozen=True, slots=True)
class _Page:
    url: str


_subscriptions, _invoices = TypeAdapter(SubscriptionAtStripe), TypeAdapter(Invoice)
_states = TypeAdapter(_State)
_pages, _sessions = TypeAdapter(_Page), TypeAdapter(CheckoutSession)


class StripeSubscriptions:
    def __init__(self, api: StripeApi, pages: PageRules) -> None:
        self._api = api
        self._pages = pages

    async def make_page(self, request: SessionRequest) -> CheckoutSession:
        """Make the page on which a subscription is paid, or answer the one that this key has made before."""
        ours = {"subscription_id": request.checkout_id}
        params: Any = {  # Any: the SDK's parameters
            **page_params(request, self._pages, recurring={"interval": "month"}),
            "mode": "subscription",
            "metadata": ours,
            "subscription_data": {"metadata": ours},
        }
        made = await self._api.write(
            lambda client: client.v1.checkout.sessions.create_async(
                params, {"idempotency_key": request.idempotency_key}
            ),
            about=request.checkout_id,
        )
        return read(_sessions, made)

    async def end_page(self, session_id: str) -> bool:
        """Let a page pass that nobody has paid; false where it was paid. Told twice it is the same."""
        try:
            await self._api.write(lambda client: client.v1.checkout.sessions.expire_async(session_id), about=session_id)
        except UnknownAtStripe:
            return True
        except StripeRefused:  # it is not open any more
            answer = await self._api.read(
                lambda client: client.v1.checkout.sessions.retrieve_async(session_id), about=session_id
            )
            return read(_states, answer).status == "expired"
        return True

    async def subscription(self, stripe_id: str) -> SubscriptionAtStripe:
        answer = await self._api.read(lambda client: client.v1.subscriptions.retrieve_async(stripe_id), about=stripe_id)
        return read(_subscriptions, answer)

    async def end_with_period(self, stripe_id: str) -> SubscriptionAtStripe:
        """Told twice it is the same, so the SDK's own key will do: a kept one would hide that it was taken back."""
        answer = await self._api.write(
            lambda client: client.v1.subscriptions.update_async(stripe_id, {"cancel_at_period_end": True}),
            about=stripe_id,
        )
        return read(_subscriptions, answer)

    async def invoice(self, invoice_id: str) -> Invoice:
        answer = await self._api.read(lambda client: client.v1.invoices.retrieve_async(invoice_id), about=invoice_id)
        return read(_invoices, answer)

    async def portal(self, customer_id: str) -> str:
        """The address of a fresh page; each call makes one, and they pass by themselves."""
        made = await self._api.write(
            lambda client: client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": self._pages.cancel_url}
            ),
            about=customer_id,
        )
        return read(_pages, made).url


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
