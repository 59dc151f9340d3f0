"""Credits to money: whole minor units, in the steps of the currency, at the rate of the moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.billing.connect.domain import KEY_LIVES
from promptforge.actors.billing.currencies import CURRENCIES
from promptforge.actors.billing.errors import PayoutNotWhole, StripeDeclined
from promptforge.actors.billing.payouts.domain import Payout, PayoutRules, Rate, is_final
from promptforge.actors.billing.payouts.messages import PayoutProgress
from promptforge.core.amounts import to_millicredits
from promptforge.core.errors import ConfigurationError
from promptforge.deploy.sandbox import currencies as stripes

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def rate(currency: str, minor_units: int = 1, credits: int = 1) -> Rate:
    return Rate(CURRENCIES[currency], minor_units, credits)


@pytest.mark.parametrize(
    ("of", "credits", "money"),
    [
        (rate("usd"), "12", 12),
        (rate("eur", 92, 100), "25", 23),
        (rate("jpy", 3, 2), "20", 30),
        (rate("huf", 350, 100), "200", 700),
        (rate("isk", 140, 1), "5", 700),
        (rate("bhd", 4, 1), "5", 20),
    ],
)
def test_credits_are_worth_whole_minor_units(of: Rate, credits: str, money: int) -> None:
    assert of.money_for(to_millicredits(credits)) == money


@pytest.mark.parametrize(
    ("of", "credits", "nearest"),
    [
        (rate("usd"), "12.5", "12"),
        (rate("usd"), "0.5", None),
        (rate("eur", 92, 100), "26", "25"),
        (rate("huf", 350, 100), "210", "200"),
        (rate("isk", 140, 1), "6", "5"),
    ],
)
def test_other_amounts_are_refused_with_the_next_lower_one(of: Rate, credits: str, nearest: str | None) -> None:
    with pytest.raises(PayoutNotWhole) as refused:
        of.money_for(to_millicredits(credits))
    assert refused.value.extra.get("nearest_amount") == nearest
    if nearest is not None:
        assert of.money_for(to_millicredits(nearest)) > 0


@given(
    currency=st.sampled_from(sorted(CURRENCIES)),
    minor_units=st.integers(1, 10**6),
    credits=st.integers(1, 10**6),
    amount=st.integers(1, 10**12),
)
def test_money_is_never_more_than_the_rate_says(currency: str, minor_units: int, credits: int, amount: int) -> None:
    of = rate(currency, minor_units, credits)
    try:
        money = of.money_for(amount)
    except PayoutNotWhole as refused:
        nearest = refused.extra.get("nearest_amount")
        if nearest is None:
            return
        amount = to_millicredits(str(nearest))
        money = of.money_for(amount)
    assert money * credits * 1000 == amount * minor_units
    assert money % of.currency.payout_multiple == 0


def test_the_table_of_currencies_says_what_the_sandbox_enforces() -> None:
    """Both are written from Stripe's documentation; a slip in one shows here."""
    known = [code for code in stripes.CURRENCIES if code in CURRENCIES]
    assert set(known) == set(stripes.CURRENCIES)
    for code in known:
        currency = CURRENCIES[code]
        assert (currency.exponent == 0) == (code in stripes.ZERO_DECIMAL)
        assert (currency.exponent == 3) == (code in stripes.THREE_DECIMAL)
        stripes.check_payout(currency.payout_multiple, code, param="amount")
        assert (currency.payout_multiple == 100) == (code in stripes.PAID_OUT_IN_HUNDREDS)
        assert (currency.checkout_multiple == 100) == (code in stripes.HUNDREDS)


@pytest.mark.parametrize(
    ("currency", "shown"), [("usd", "12.50 USD"), ("jpy", "1250 JPY"), ("bhd", "1.250 BHD"), ("isk", "12.50 ISK")]
)
def test_money_is_shown_as_people_write_it(currency: str, shown: str) -> None:
    assert CURRENCIES[currency].show(1250) == shown


def test_there_is_a_rate_for_every_account() -> None:
    rules = PayoutRules(rates={"usd": rate("usd"), "eur": rate("eur", 92, 100)})
    assert rules.rate_for("eur").currency.code == "eur"
    assert rules.rate_for("huf").currency.code == "usd"
    with pytest.raises(ConfigurationError):
        PayoutRules(rates={"eur": rate("eur")})


def payout(**changes: object) -> Payout:
    facts = {"id": "pay_1", "user_id": "usr_1", "account_id": "acct_1", "amount": 50_000, "money": 50}
    more = {"currency": "usd", "rate": "1/1", "state": PayoutProgress.SENDING, "created_at": NOW}
    return Payout(**{**facts, **more, **changes})  # type: ignore[arg-type]  # the test says what differs


def test_waits_grow_to_a_bound() -> None:
    waits = [payout(waits=number).wait_seconds(60) for number in range(12)]
    assert waits[:3] == [60, 120, 240]
    assert waits == sorted(waits)
    assert waits[-1] == 6 * 3600
    assert payout(waits=10**6).wait_seconds(60) == 6 * 3600


def test_a_key_is_sent_again_only_while_stripe_remembers_it() -> None:
    assert not payout(key_stored_at=NOW).must_look(NOW + KEY_LIVES)
    assert payout(key_stored_at=NOW).must_look(NOW + KEY_LIVES + timedelta(seconds=1))
    assert payout(key_stored_at=NOW, look_first=True).must_look(NOW)


@pytest.mark.parametrize(
    ("reason", "status", "final"),
    [
        ("balance_insufficient", 400, False),
        ("insufficient_capabilities_for_transfer", 400, True),
        ("resource_missing", 404, True),
        ("api_error", 500, False),
        ("IdempotencyError", 400, False),
        ("AuthenticationError", 401, False),
        ("PermissionError", 403, False),
    ],
)
def test_only_what_the_account_is_to_blame_for_is_final(reason: str, status: int, *, final: bool) -> None:
    assert is_final(StripeDeclined(reason, status)) is final
