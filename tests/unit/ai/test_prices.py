"""From tokens to money: nothing is rounded away, and what is charged is rounded up once."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.ai.models.domain import Price, Terms

PRICES = st.integers(0, 10**9)
TOKENS = st.integers(0, 10**7)


@given(PRICES, PRICES, TOKENS, TOKENS, st.integers(1, 10**6))
def test_the_charge_is_the_exact_cost_rounded_up(
    read: int, write: int, tokens_in: int, tokens_out: int, rate: int
) -> None:
    exact = Fraction(read * tokens_in + write * tokens_out, 10**6)  # microdollars
    cost = Price(read, write).of(tokens_in, tokens_out)
    assert 0 <= cost.microusd - exact < 1
    assert 0 <= cost.millicredits(rate) - exact * 1000 / rate < 1


def test_a_token_of_a_model_that_costs_anything_costs_something() -> None:
    assert Terms(Price(20_000, 80_000), 10_000).charge(1, 0) == 1
    assert Terms(Price(0, 0), 10_000).charge(10**6, 10**6) == 0


def test_a_million_tokens_at_a_dollar_are_a_hundred_credits() -> None:
    assert Terms(Price(1_000_000, 0), 10_000).charge(10**6, 0) == 100_000
