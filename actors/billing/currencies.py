"""Stripe's rules for amounts of money, in one table: how many minor units, and in which steps.

Source: docs.stripe.com/currencies ("Zero-decimal currencies", "Special cases", "Three-decimal currencies"). Where it
counts a currency without minor units as if it had two (ISK, UGX), the exponent is Stripe's.
"""

from __future__ import annotations

from dataclasses import dataclass

_ZERO_DECIMAL = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_TWO_DECIMAL = (
    "aed aud bgn brl cad chf cop czk dkk eur gbp hkd idr ils inr mad mxn myr nok nzd pen php pln ron sar sek sgd thb "
    "try usd zar"
)
_THREE_DECIMAL = "bhd jod kwd omr tnd"


@dataclass(frozen=True, slots=True)
class Currency:
    """`exponent`: a whole unit has 10^exponent minor units. Amounts are multiples of these numbers of minor units."""

    code: str
    exponent: int
    checkout_multiple: int = 1
    payout_multiple: int = 1

    def show(self, minor_units: int) -> str:
        """`1250` of usd → `12.50 USD`."""
        whole, rest = divmod(minor_units, 10**self.exponent)
        fraction = f".{rest:0{self.exponent}d}" if self.exponent else ""
        return f"{whole}{fraction} {self.code.upper()}"


_TABLE = (
    *(Currency(code, 0) for code in _ZERO_DECIMAL.split()),
    *(Currency(code, 2) for code in _TWO_DECIMAL.split()),
    *(Currency(code, 3, checkout_multiple=10, payout_multiple=10) for code in _THREE_DECIMAL.split()),
    Currency("huf", 2, payout_multiple=100),
    Currency("twd", 2, payout_multiple=100),
    Currency("isk", 2, checkout_multiple=100, payout_multiple=100),
    Currency("ugx", 2, checkout_multiple=100, payout_multiple=100),
)
CURRENCIES = {currency.code: currency for currency in _TABLE}
"""By their codes in lower case (ISO 4217), as Stripe writes them."""
