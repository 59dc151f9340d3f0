"""Prices that could be cashed out at a profit stop the start, in one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.billing import BillingActor, ChargePurchase
from promptforge.actors.billing.ledger.domain import Fund
from promptforge.actors.billing.ledger.holdings import Part
from promptforge.actors.billing.ledger.sales.domain import Commission, Deal, Terms, purchase_journal, sale_of
from promptforge.actors.billing.messages import SaleCommission
from promptforge.actors.billing.packs import DEFAULT_PACKS
from promptforge.actors.billing.subscriptions.domain import DEFAULT_PLANS
from promptforge.core.errors import ConfigurationError
from promptforge.deploy.features import settlement_terms
from promptforge.deploy.prices import credit_packs, payout_rules, price_faults, subscription_plans
from promptforge.deploy.settings import Settings
from tests.support.running import command


def settings(**values: Any) -> Settings:
    return Settings(**values)


def test_the_defaults_are_right_and_are_what_is_promised() -> None:
    assert price_faults(settings()) == []
    packs = [(pack.credits // 1000, pack.bonus // 1000, pack.price_minor_units) for pack in credit_packs(settings())]
    assert packs == [(500, 0, 500), (1000, 25, 1000), (5000, 250, 5000)]
    assert credit_packs(settings()) == DEFAULT_PACKS
    assert subscription_plans(settings()) == DEFAULT_PLANS
    assert payout_rules(settings()).rates["usd"].money_for(100_000) == 100


@pytest.mark.parametrize(
    "values",
    [
        {"platform_fee_bp": 0},
        {"partner_commission_max_bp": 1500},
        {"payout_rates": ("usd=2/1",)},
        {"credit_packs": ("pack=1000+0/800usd",)},
        {"subscription_plans": ("monthly=1000+0/800usd",)},
        {
            "payout_rates": ("usd=1/1", "eur=2/1"),
            "credit_packs": ("a=500+0/500usd", "b=500+0/500eur"),
            "exchange_rates": ("eur=92/100",),
        },
        {"credit_packs": ("a=500+0/500usd", "b=5000+250/500jpy"), "exchange_rates": ("jpy=150/100",)},
        {
            "payout_rates": ("usd=1/1", "jpy=1/10"),
            "credit_packs": ("a=500+0/500usd", "b=5000+0/500jpy"),
            "exchange_rates": ("jpy=150/100",),
        },
        {"subscription_plans": ("a=5000+0/100isk",), "exchange_rates": ("isk=13600/100",)},
    ],
)
def test_a_circle_that_gains_is_refused(values: dict[str, Any]) -> None:
    faults = price_faults(settings(**values))
    assert faults
    assert all("could be cashed out" in fault for fault in faults)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"credit_packs": ("nonsense",)}, "CREDIT_PACKS"),
        ({"credit_packs": ("a=500+0/500xxx",)}, "no currency xxx"),
        ({"credit_packs": ("a=500+0/500usd", "a=600+0/600usd")}, "same id"),
        ({"credit_packs": ("a=500+100/600usd",)}, "bonus"),
        ({"credit_packs": ("a=500+0/150isk", "b=500+0/500usd")}, "multiples of 100"),
        ({"subscription_plans": ("nonsense",)}, "SUBSCRIPTION_PLANS"),
        ({"payout_rates": ("usd:1",)}, "PAYOUT_RATES"),
        ({"payout_rates": ("usd=0/1",)}, "not positive"),
        ({"payout_rates": ("usd=1/1", "usd=1/2")}, "two rates"),
        ({"payout_rates": ("usd=1/1", "huf=1/1"), "exchange_rates": ("huf=330/1",)}, "no pack"),
        ({"subscription_plans": ("plan=500000+0/500eur",)}, "in eur, and EXCHANGE_RATES does not say"),
        ({"credit_packs": ("a=500+0/500usd", "b=500+0/500eur")}, "in eur, and EXCHANGE_RATES does not say"),
        ({"payout_rates": ("usd=1/1", "huf=1/1")}, "in huf, and EXCHANGE_RATES does not say"),
        ({"exchange_rates": ("eur:1",)}, "EXCHANGE_RATES"),
        ({"exchange_rates": ("eur=0/1",)}, "EXCHANGE_RATES"),
        ({"exchange_rates": ("eur=1/1", "eur=1/2")}, "two rates"),
        ({"exchange_rates": ("usd=1/2",)}, "two rates"),
        ({"payout_rates": ("eur=1/1",)}, "no payout rate for usd"),
    ],
)
def test_what_cannot_be_read_or_compared_is_refused(values: dict[str, Any], said: str) -> None:
    (fault,) = price_faults(settings(**values))
    assert said in fault


@given(
    credits=st.integers(1, 10**6),
    price=st.integers(1, 10**6),
    fee_bp=st.integers(0, 10_000),
    commission_bp=st.integers(0, 10_000),
    money=st.integers(1, 1000),
    worth=st.integers(1, 1000),
)
def test_what_is_let_through_never_pays_out_more_than_it_cost(
    credits: int, price: int, fee_bp: int, commission_bp: int, money: int, worth: int
) -> None:
    given = settings(
        credit_packs=(f"a={credits}+0/{price}usd",),
        subscription_plans=(),
        payout_rates=(f"usd={money}/{worth}",),
        platform_fee_bp=fee_bp,
        partner_commission_max_bp=commission_bp,
    )
    if price_faults(given):
        return
    part = Part(Fund.PURCHASED, credits * 1000, "lot")
    deal = Deal("pur", "buyer", "seller", credits * 1000, Commission("partner", commission_bp))
    sale = sale_of(purchase_journal(deal, parts=[part], fee_bp=fee_bp), datetime.now(UTC))
    earned = sale.payable + sale.commission if sale is not None else 0
    assert earned * money // (1000 * worth) <= price


def test_prices_in_two_currencies_that_no_way_gains_are_let_through() -> None:
    given = settings(
        credit_packs=("a=500+0/500usd", "b=500+0/500eur"),
        payout_rates=("usd=1/1", "eur=90/100"),
        exchange_rates=("eur=92/100",),
    )
    assert price_faults(given) == []


def test_no_sale_gives_a_partner_more_than_the_prices_were_judged_with() -> None:
    nothing: Any = None  # it asks neither the ledger nor anything else
    billing = BillingActor(nothing, nothing, nothing, nothing, commission_max_bp=500)
    for asked, granted in ((100, 100), (500, 500), (10_000, 500)):
        promised = SaleCommission("p", asked, "c", "code")
        sale = ChargePurchase(purchase_id="pur", buyer_id="a", seller_id="b", price_millicredits=1, commission=promised)
        assert billing._deal_of(sale).commission == Commission("p", granted, "c", "code")


def test_settlement_has_no_rolling_reserve_unless_one_is_set() -> None:
    assert settlement_terms(settings()) == Terms(reserve_bp=0)
    set_so = settings(rolling_reserve_bp=1000, rolling_reserve_days=60, settlement_days=3)
    wanted = Terms(window=timedelta(days=3), reserve_bp=1000, reserve_for=timedelta(days=60))
    assert settlement_terms(set_so) == wanted


@pytest.mark.parametrize("name", ["serve", "doctor"])
def test_a_start_is_refused_and_doctor_says_why(name: str, tmp_path: Any) -> None:
    done = command(name, PLATFORM_FEE_BP="0", PROMPTFORGE_DATA_DIR=str(tmp_path))
    assert done.returncode == (78 if name == "serve" else 1)
    told = " ".join((done.stdout + done.stderr).split())
    assert "could be cashed out for" in told
    if name == "serve":
        assert len(done.stderr.strip().splitlines()) == 1


def test_failpoints_are_refused_in_production(tmp_path: Any) -> None:
    done = command("serve", ENVIRONMENT="production", FAILPOINTS="x", PROMPTFORGE_DATA_DIR=str(tmp_path))
    assert done.returncode == 78
    assert "FAILPOINTS" in done.stderr


def test_rates_are_read_as_they_are_written() -> None:
    with pytest.raises(ConfigurationError):
        payout_rules(settings(payout_rates=("usd=1",)))
