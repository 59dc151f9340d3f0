"""What is read as a number of credits, and what is not; and what an account begins with."""

from __future__ import annotations

import math

import pytest
from bson import Int64, ObjectId
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.billing.ledger.domain import Fund, Owed, Platform
from promptforge.actors.billing.ledger.opening.domain import Unreadable, opening_journal, read_credits
from promptforge.actors.billing.ledger.opening.store import opened
from promptforge.deploy.upgrade.identity import internal_id, possible_ids


@pytest.mark.parametrize(
    ("stored", "millicredits"),
    [
        (None, 0),
        (0, 0),
        (-0.0, 0),
        (5, 5_000),
        (Int64(7), 7_000),
        (12.5, 12_500),
        (0.1 + 0.2, 300),
        (1e-7, 0),
        (-3.25, -3_250),
        ("12.5", 12_500),
        (" -4 ", -4_000),
        (Decimal128("0.0015"), 2),
        (Decimal128("0.0025"), 2),
        (999_999_999.999, 999_999_999_999),
    ],
)
def test_numbers_are_read_to_the_nearest_millicredit(stored: object, millicredits: int) -> None:
    assert read_credits(stored) == millicredits


@pytest.mark.parametrize(
    "stored", ["abc", "", "1e3", "1,000", "٣", "NaN", True, False, math.nan, math.inf, -math.inf, [], {}, b"5"]
)
def test_what_is_no_number_is_not_guessed_at(stored: object) -> None:
    assert read_credits(stored) is Unreadable.NOT_A_NUMBER


@pytest.mark.parametrize("stored", [10**9, -(10**9), 1e300, 2**63, "9999999999", Decimal128("1E+6000")])
def test_what_nobody_can_have_is_not_taken_over(stored: object) -> None:
    assert read_credits(stored) is Unreadable.TOO_LARGE


@given(st.one_of(st.floats(), st.integers(), st.text(), st.decimals(places=6, allow_nan=False, allow_infinity=False)))
def test_whatever_is_stored_gives_an_amount_that_a_leg_can_have_or_a_reason(stored: object) -> None:
    amount = read_credits(stored)
    if not isinstance(amount, Unreadable):
        assert abs(amount) <= 10**12
        journal = opening_journal("usr_1", amount)
        assert (journal is None) == (amount == 0)


def test_what_was_above_zero_is_granted_and_what_was_below_is_owed() -> None:
    given_, owed = opening_journal("usr_1", 12_500), opening_journal("usr_1", -7_000)
    assert given_ is not None
    assert owed is not None
    assert [(leg.account, leg.amount, leg.lot) for leg in given_.legs] == [
        (Platform.OPENING, -12_500, None),
        (Fund.GRANTED, 12_500, "opening:usr_1"),
    ]
    assert [(leg.account, leg.amount) for leg in owed.legs] == [(Platform.OPENING, 7_000), (Owed.DEBT, -7_000)]
    assert opened(given_)["lots"] == [{"lot": "opening:usr_1", "fund": "granted", "remaining": 12_500}]
    assert (opened(owed)["debt"], opened(owed)["lots"], opened(None)["granted"]) == (-7_000, [], 0)


def test_ids_are_computed_so_that_whoever_refers_to_one_finds_it() -> None:
    old = ObjectId("65a0000000000000000000ff")
    assert internal_id("usr", old) in possible_ids(str(old))
    assert internal_id("usr", 17) in possible_ids("17") & possible_ids(17.0)
    assert internal_id("usr", "17") not in possible_ids(17)
    assert internal_id("usr", "usr_01jd") == "usr_01jd"
    assert internal_id("usr", old) != internal_id("lst", old)
    assert internal_id("usr", old) < internal_id("usr", ObjectId("66a000000000000000000000"))
