"""What Stripe knows of a payment: its invoice, its tax, its charge, and what it was paid with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import StrictInt, TypeAdapter

from promptforge.actors.billing.receipts.domain import Paid, Tax
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.claims import read


@dataclass(frozen=True, slots=True)
class _Address:
    country: str | None = None


@dataclass(frozen=True, slots=True)
class _Details:
    address: _Address | None = None


@dataclass(frozen=True, slots=True)
class _Charge:
    """Of how it was paid Stripe tells under a name that is that of the method's type."""

    id: str
    receipt_url: str | None = None
    billing_details: _Details | None = None
    payment_method_details: dict[str, Any] | None = None  # Any: JSON, of another shape for each type

    def _method(self, name: str) -> str | None:
        details = self.payment_method_details or {}
        found = (details.get(details.get("type", "")) or {}).get(name)
        return found if isinstance(found, str) else None

    @property
    def instrument(self) -> str | None:
        fingerprint = self._method("fingerprint")
        kind = "card" if (self.payment_method_details or {}).get("type") == "card" else "bank"
        return f"{kind}:{fingerprint}" if fingerprint else None

    @property
    def method_country(self) -> str | None:
        return self._method("country")

    @property
    def billing_country(self) -> str | None:
        return _country(self.billing_details)


def _country(details: _Details | None) -> str | None:
    return details.address.country if details and details.address else None


@dataclass(frozen=True, slots=True)
class _Intent:
    latest_charge: _Charge | None


@dataclass(frozen=True, slots=True)
class _Rated:
    tax_rate: str


@dataclass(frozen=True, slots=True)
class _TotalTax:
    amount: StrictInt
    tax_rate_details: _Rated | None = None


@dataclass(frozen=True, slots=True)
class _Invoice:
    currency: str
    subtotal: StrictInt
    total: StrictInt
    number: str | None = None
    hosted_invoice_url: str | None = None
    total_taxes: tuple[_TotalTax, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Totals:
    amount_tax: StrictInt = 0


@dataclass(frozen=True, slots=True)
class _Creation:
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class _Session:
    currency: str
    amount_subtotal: StrictInt
    amount_total: StrictInt
    total_details: _Totals | None = None
    customer_details: _Details | None = None
    invoice: _Invoice | None = None
    invoice_creation: _Creation | None = None
    payment_intent: _Intent | None = None


@dataclass(frozen=True, slots=True)
class _Rate:
    percentage: float
    effective_percentage: float | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class _By:
    payment_intent: str | None = None


@dataclass(frozen=True, slots=True)
class _Payment:
    payment: _By = field(default_factory=_By)


_sessions, _invoices, _intents = TypeAdapter(_Session), TypeAdapter(_Invoice), TypeAdapter(_Intent)
_rates, _payments = TypeAdapter(_Rate), TypeAdapter(tuple[_Payment, ...])


class StripeReceipts:
    def __init__(self, api: StripeApi) -> None:
        self._api = api

    async def read(self, topup_id: str) -> Paid | None:
        """What is known of a payment, by the key of its journal; None where nothing was paid.

        Raises `StripeUnavailable`, `UnknownAtStripe`, `StripeRefused` or `UnreadableAnswer`.
        """
        kind, _, identifier = topup_id.partition(":")
        return await (self._once(identifier) if kind == "topup" else self._month(identifier))

    async def _once(self, session_id: str) -> Paid | None:
        expand: Any = {"expand": ["invoice", "payment_intent.latest_charge"]}  # Any: the SDK's parameters
        answer = await self._api.read(
            lambda client: client.v1.checkout.sessions.retrieve_async(session_id, expand), about=session_id
        )
        session = read(_sessions, answer)
        charge = session.payment_intent.latest_charge if session.payment_intent else None
        if charge is None:
            return None
        if session.invoice is not None:
            return await self._of(session.invoice, charge, _country(session.customer_details))
        tax = session.total_details.amount_tax if session.total_details else 0
        return _paid(
            _Invoice(session.currency, session.amount_subtotal, session.amount_total),
            charge,
            taxes=(Tax("", tax, None),) if tax else (),
            country=_country(session.customer_details),
            complete=not (session.invoice_creation and session.invoice_creation.enabled),
        )

    async def _month(self, invoice_id: str) -> Paid | None:
        answer = await self._api.read(lambda client: client.v1.invoices.retrieve_async(invoice_id), about=invoice_id)
        invoice = read(_invoices, answer)
        paid = await self._api.read(
            lambda client: client.v1.invoice_payments.list_async({"invoice": invoice_id, "status": "paid", "limit": 1}),
            about=invoice_id,
        )
        intents = [payment.payment.payment_intent for payment in read(_payments, paid.get("data"))]
        charge = await self._charge_of(intents[0]) if intents and intents[0] else None
        return await self._of(invoice, charge, None)

    async def _charge_of(self, intent_id: str) -> _Charge | None:
        expand: Any = {"expand": ["latest_charge"]}  # Any: the SDK's parameters
        answer = await self._api.read(
            lambda client: client.v1.payment_intents.retrieve_async(intent_id, expand), about=intent_id
        )
        return read(_intents, answer).latest_charge

    async def _of(self, invoice: _Invoice, charge: _Charge | None, country: str | None) -> Paid:
        taxes = [await self._tax(tax) for tax in invoice.total_taxes or ()]
        return _paid(invoice, charge, taxes=taxes, country=country)

    async def _tax(self, tax: _TotalTax) -> Tax:
        if tax.tax_rate_details is None:
            return Tax("", tax.amount, None)
        rate_id = tax.tax_rate_details.tax_rate
        answer = await self._api.read(lambda client: client.v1.tax_rates.retrieve_async(rate_id), about=rate_id)
        rate = read(_rates, answer)
        percent = rate.percentage if rate.effective_percentage is None else rate.effective_percentage
        return Tax(f"{percent:.4f}".rstrip("0").rstrip("."), tax.amount, rate.country)


def _paid(
    invoice: _Invoice,
    charge: _Charge | None,
    *,
    taxes: Sequence[Tax],
    country: str | None,
    complete: bool = True,
) -> Paid:
    return Paid(
        currency=invoice.currency,
        subtotal=invoice.subtotal,
        tax=sum(tax.amount for tax in taxes),
        total=invoice.total,
        taxes=tuple(taxes),
        number=invoice.number,
        invoice_url=invoice.hosted_invoice_url,
        receipt_url=charge.receipt_url if charge else None,
        charge=charge.id if charge else None,
        instrument=charge.instrument if charge else None,
        billing_country=country or (charge.billing_country if charge else None),
        card_country=charge.method_country if charge else None,
        complete=complete,
    )
