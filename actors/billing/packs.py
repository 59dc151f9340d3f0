"""The credit packs for sale: what they give and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from promptforge.actors.billing.currencies import CURRENCIES
from promptforge.actors.billing.messages import CreditPackView
from promptforge.core.amounts import MILLI, from_millicredits
from promptforge.core.errors import ConfigurationError

MAX_BONUS_PERCENT = 5


@dataclass(frozen=True, slots=True)
class CreditPack:
    """`price_minor_units` of `currency` (lower case, ISO 4217) buy `credits` and `bonus`, both in millicredits.

    Raises `ConfigurationError` for a pack that cannot be sold.
    """

    id: str
    credits: int
    bonus: int
    price_minor_units: int
    currency: str = "usd"

    def __post_init__(self) -> None:
        if self.credits <= 0 or self.price_minor_units <= 0 or self.bonus < 0:
            raise ConfigurationError(f"the credit pack {self.id} needs a positive price and positive credits")
        if self.bonus * 100 > self.credits * MAX_BONUS_PERCENT:
            raise ConfigurationError(f"the credit pack {self.id} gives more than {MAX_BONUS_PERCENT} % as a bonus")
        currency = CURRENCIES.get(self.currency)
        if currency is None:
            raise ConfigurationError(f"the credit pack {self.id} names its currency {self.currency}")
        if self.price_minor_units % currency.checkout_multiple:
            step = currency.checkout_multiple
            raise ConfigurationError(f"the credit pack {self.id} must cost a multiple of {step} {self.currency}")

    @property
    def total(self) -> int:
        """What the buyer gets, in millicredits."""
        return self.credits + self.bonus

    def view(self) -> CreditPackView:
        return CreditPackView(
            id=self.id,
            credits=from_millicredits(self.credits),
            bonus_credits=from_millicredits(self.bonus),
            total_credits=from_millicredits(self.total),
            price_minor_units=self.price_minor_units,
            currency=self.currency,
        )


DEFAULT_PACKS = (
    CreditPack("pack_500", 500 * MILLI, 0, 500),
    CreditPack("pack_1000", 1000 * MILLI, 25 * MILLI, 1000),
    CreditPack("pack_5000", 5000 * MILLI, 250 * MILLI, 5000),
)
"""One credit sells for one US cent."""


def packs_by_id(packs: Sequence[CreditPack]) -> Mapping[str, CreditPack]:
    """The smallest first. Raises `ConfigurationError` where two packs share an id."""
    ordered = sorted(packs, key=lambda pack: (pack.total, pack.id))
    found = {pack.id: pack for pack in ordered}
    if len(found) != len(ordered):
        raise ConfigurationError("two credit packs have the same id")
    return found
