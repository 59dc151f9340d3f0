"""What credits cost and what they are worth, from the settings: packs, payout rates, and that no circle gains.

Whoever buys a pack, buys from an account of their own with it and has that one paid out must not end with more money
than they began with. What they get is the pack's credits less what the platform keeps, at the rate of payouts: the fee
less the most that a partner gets of it, for they may be their own partner as well. Money of one currency is compared
with that of another by `EXCHANGE_RATES`: they may buy in any currency and be paid out in any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

from promptforge.actors.billing.currencies import CURRENCIES, Currency
from promptforge.actors.billing.packs import CreditPack, packs_by_id
from promptforge.actors.billing.payouts.domain import PayoutRules, Rate
from promptforge.core.amounts import MILLI
from promptforge.core.errors import ConfigurationError

if TYPE_CHECKING:
    from promptforge.deploy.settings import Settings

_PACK = re.compile(
    r"(?P<id>[a-z0-9_]{1,64})=(?P<credits>\d{1,9})\+(?P<bonus>\d{1,9})/(?P<price>\d{1,8})(?P<cur>[a-z]{3})"
)
_RATE = re.compile(r"(?P<cur>[a-z]{3})=(?P<money>\d{1,6})/(?P<credits>\d{1,6})")
WHOLE_BP = 10_000
REFERENCE = "usd"


def credit_packs(settings: Settings) -> tuple[CreditPack, ...]:
    """The packs for sale. Raises `ConfigurationError` in one line."""
    return _packs("CREDIT_PACKS", settings.credit_packs)


def subscription_plans(settings: Settings) -> tuple[CreditPack, ...]:
    """The packs that one can have every month. Raises `ConfigurationError` in one line."""
    return _packs("SUBSCRIPTION_PLANS", settings.subscription_plans)


def _packs(setting: str, entries: Sequence[str]) -> tuple[CreditPack, ...]:
    packs = []
    for entry in entries:
        given = _PACK.fullmatch(entry)
        if given is None:
            raise ConfigurationError(
                f"{setting}: {entry!r} is not like pack_1000=1000+25/1000usd (credits + bonus / price)"
            )
        currency = _currency(given["cur"], setting)
        price = int(given["price"])
        if price % currency.checkout_multiple:
            raise ConfigurationError(
                f"{setting}: prices in {currency.code} are multiples of {currency.checkout_multiple}"
            )
        credits, bonus = int(given["credits"]) * MILLI, int(given["bonus"]) * MILLI
        packs.append(CreditPack(given["id"], credits, bonus, price, currency.code))
    packs_by_id(packs)
    return tuple(packs)


def payout_rules(settings: Settings) -> PayoutRules:
    """Raises `ConfigurationError` in one line."""
    rates: dict[str, Rate] = {}
    for entry in settings.payout_rates:
        given = _RATE.fullmatch(entry)
        if given is None:
            raise ConfigurationError(f"PAYOUT_RATES: {entry!r} is not like usd=1/1 (minor units / credits)")
        currency = _currency(given["cur"], "PAYOUT_RATES")
        if currency.code in rates:
            raise ConfigurationError(f"PAYOUT_RATES has two rates for {currency.code}")
        rates[currency.code] = Rate(currency, int(given["money"]), int(given["credits"]))
    hold = timedelta(hours=settings.bank_details_hold_hours)
    return PayoutRules(minimum=settings.payout_minimum_credits * MILLI, rates=rates, bank_hold=hold)


def price_faults(settings: Settings) -> list[str]:
    """What is wrong with the prices, each as one sentence that says what to do."""
    try:
        packs, plans, rules = credit_packs(settings), subscription_plans(settings), payout_rules(settings)
        exchange = exchange_rates(settings)
    except ConfigurationError as error:
        return [error.detail]
    kept_bp = max(settings.platform_fee_bp - settings.partner_commission_max_bp, 0)
    sold = {pack.currency for pack in (*packs, *plans)}
    if unknown := sorted((sold | rules.rates.keys()) - exchange.keys()):
        return [
            f"there are prices or payouts in {currency}, and EXCHANGE_RATES does not say what it is worth: add "
            f"{currency}=MINOR_UNITS/US_CENTS, or nobody can tell whether a pack could be cashed out at a profit"
            for currency in unknown
        ]
    return [*_profits((*packs, *plans), rules.rates, exchange, kept_bp), *_unpriced(packs, rules.rates)]


def exchange_rates(settings: Settings) -> dict[str, Fraction]:
    """Currency → US cents that one minor unit is worth. Raises `ConfigurationError` in one line."""
    rates = {REFERENCE: Fraction(1)}
    for entry in settings.exchange_rates:
        given = _RATE.fullmatch(entry)
        if given is None or not int(given["money"]) or not int(given["credits"]):
            raise ConfigurationError(f"EXCHANGE_RATES: {entry!r} is not like eur=92/100 (minor units / US cents)")
        currency = _currency(given["cur"], "EXCHANGE_RATES")
        if currency.code in rates:
            raise ConfigurationError(f"EXCHANGE_RATES has two rates for {currency.code}")
        rates[currency.code] = Fraction(int(given["credits"]), int(given["money"]))
    return rates


def _profits(
    packs: tuple[CreditPack, ...], rates: Mapping[str, Rate], exchange: Mapping[str, Fraction], kept_bp: int
) -> list[str]:
    """Of every pack in every currency of payouts. `kept_bp`: what the platform keeps of a sale in any case."""
    found = []
    for pack, rate in product(packs, rates.values()):
        earned = pack.total * (WHOLE_BP - kept_bp) // WHOLE_BP
        paid = Fraction(earned * rate.minor_units, MILLI * rate.credits)
        if paid * exchange[rate.currency.code] > pack.price_minor_units * exchange[pack.currency]:
            worth = rate.currency.show(int(paid))
            cost = CURRENCIES[pack.currency].show(pack.price_minor_units)
            found.append(
                f"{pack.id} costs {cost} and could be cashed out for {worth} through an account of the buyer's own: "
                "raise its price or PLATFORM_FEE_BP, or lower PAYOUT_RATES, the bonus or PARTNER_COMMISSION_MAX_BP"
            )
    return found


def _unpriced(packs: tuple[CreditPack, ...], rates: Mapping[str, Rate]) -> list[str]:
    """A rate that no price can be compared with could be any gift. For usd too: there must be a pack in it."""
    sold = {pack.currency for pack in packs}
    return [
        f"PAYOUT_RATES pays out in {currency}, and no pack of CREDIT_PACKS has a price in {currency} to compare it with"
        for currency in sorted(rates.keys() - sold)
    ]


def _currency(code: str, setting: str) -> Currency:
    currency = CURRENCIES.get(code)
    if currency is None:
        raise ConfigurationError(f"{setting}: Stripe has no currency {code}")
    return currency
