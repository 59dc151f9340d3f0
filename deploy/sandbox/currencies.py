"""Stripe's rules for amounts: minor units, least amounts, currencies with rules of their own."""

from __future__ import annotations

from promptforge.deploy.sandbox.forms import Params
from promptforge.deploy.sandbox.refusals import Refused, invalid

_ZERO = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_TWO = "aud brl cad chf czk dkk eur gbp hkd huf inr isk mxn myr nok nzd pln ron sek sgd thb twd ugx usd"
ZERO_DECIMAL = frozenset(_ZERO.split())
TWO_DECIMAL = frozenset(_TWO.split())
"""Those that the sandbox knows besides; ISK and UGX have no minor units any more and are written as if they had."""
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
CURRENCIES = ZERO_DECIMAL | TWO_DECIMAL | THREE_DECIMAL

LEAST = {
    "usd": 50, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400,
    "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200, "ron": 200,
    "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
MOST = 99_999_999
HUNDREDS = frozenset({"isk", "ugx"})
"""Charged only in multiples of 100."""
PAID_OUT_IN_HUNDREDS = frozenset({"huf", "isk", "twd", "ugx"})


def read_currency(params: Params, name: str = "currency") -> str:
    """Raises `Refused`."""
    currency = params.text(name).lower()
    if currency not in CURRENCIES:
        raise invalid(f"Invalid currency: {currency}", param=params.name(name))
    return currency


def check_charge(amount: int, currency: str, *, param: str) -> int:
    """What can be charged at all. Raises `Refused`."""
    _check_range(amount, param)
    if amount < (least := LEAST.get(currency, 1)):
        message = f"Amount must be at least {least} in the minor unit of {currency}"
        raise invalid(message, param=param, code="amount_too_small")
    return _check_steps(amount, currency, HUNDREDS, param)


def check_payout(amount: int, currency: str, *, param: str) -> int:
    """What can be paid out or transferred. Raises `Refused`."""
    _check_range(amount, param)
    return _check_steps(amount, currency, PAID_OUT_IN_HUNDREDS, param)


def _check_range(amount: int, param: str) -> None:
    if amount < 1:
        raise invalid("Invalid positive integer", param=param, code="parameter_invalid_integer")
    if amount > MOST:
        raise Refused(
            400, "invalid_request_error", f"Amount must be no more than {MOST}", code="amount_too_large", param=param
        )


def _check_steps(amount: int, currency: str, stepped: frozenset[str], param: str) -> int:
    if currency in stepped and amount % 100:
        raise invalid(f"Amounts in {currency} must be evenly divisible by 100", param=param)
    if currency in THREE_DECIMAL and amount % 10:
        raise invalid(f"Amounts in {currency} must end in 0", param=param)
    return amount
