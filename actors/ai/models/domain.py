"""What tokens cost: whole numbers from the price of a million of them to millicredits."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.core.amounts import MILLI

MILLION = 1_000_000
DEFAULT_CREDIT_MICROUSD = 10_000
"""One credit sells for one US cent."""


@dataclass(frozen=True, slots=True)
class Price:
    """Millionths of a US dollar for a million tokens read, and a million written."""

    input: int
    output: int

    def of(self, input_tokens: int, output_tokens: int) -> Cost:
        return Cost(self.input * input_tokens + self.output * output_tokens)


@dataclass(frozen=True, slots=True)
class Cost:
    """`units` are millionths of a microdollar, so that no token is rounded away; what is charged is rounded up once."""

    units: int

    @property
    def microusd(self) -> int:
        return -(-self.units // MILLION)

    def millicredits(self, credit_microusd: int) -> int:
        """`credit_microusd`: what one credit pays."""
        return -(-self.units * MILLI // (MILLION * credit_microusd))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run is charged by: fixed when it is reserved, whatever prices become meanwhile."""

    price: Price
    credit_microusd: int

    def charge(self, input_tokens: int, output_tokens: int) -> int:
        """In millicredits."""
        return self.price.of(input_tokens, output_tokens).millicredits(self.credit_microusd)
