"""Credit packs that can be sold, and those that cannot."""

from __future__ import annotations

from typing import Any

import pytest

from promptforge.actors.billing.packs import DEFAULT_PACKS, CreditPack, packs_by_id
from promptforge.core.errors import ConfigurationError


def test_a_credit_sells_for_a_cent_with_at_most_five_percent_bonus() -> None:
    for pack in DEFAULT_PACKS:
        assert pack.credits == pack.price_minor_units * 1000
        assert pack.bonus * 20 <= pack.credits
        assert pack.currency == "usd"
    assert [pack.view().total_credits for pack in DEFAULT_PACKS] == ["500", "1025", "5250"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bonus": 26_000},
        {"bonus": -1},
        {"credits": 0},
        {"price_minor_units": 0},
        {"currency": "USD"},
        {"currency": ""},
        {"currency": "xyz"},
        {"currency": "isk", "price_minor_units": 550},
    ],
)
def test_a_pack_that_cannot_be_sold_stops_the_start(wrong: dict[str, Any]) -> None:  # Any: a pack's fields
    fields: dict[str, Any] = {"id": "p", "credits": 500_000, "bonus": 25_000, "price_minor_units": 500}
    assert CreditPack(**fields).total == 525_000
    with pytest.raises(ConfigurationError):
        CreditPack(**{**fields, **wrong})


@pytest.mark.parametrize(("currency", "price"), [("jpy", 501), ("isk", 600), ("huf", 17_550), ("kwd", 510)])
def test_odd_currencies_are_sold_in_the_steps_that_stripe_takes(currency: str, price: int) -> None:
    assert CreditPack("p", 500_000, 0, price, currency).view().price_minor_units == price


def test_packs_are_listed_by_size_and_named_once() -> None:
    assert list(packs_by_id(DEFAULT_PACKS[::-1])) == ["pack_500", "pack_1000", "pack_5000"]
    with pytest.raises(ConfigurationError):
        packs_by_id([DEFAULT_PACKS[0], DEFAULT_PACKS[0]])
