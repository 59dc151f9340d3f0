"""Who pays what from where, for every price, fee and purse that there can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.billing.errors import DebtOutstanding, InsufficientCredits
from promptforge.actors.billing.ledger.adjustments.domain import grant_journal
from promptforge.actors.billing.ledger.domain import (
    Fund,
    Journal,
    JournalKind,
    Leg,
    Owed,
    Platform,
    UnbalancedJournal,
)
from promptforge.actors.billing.ledger.holdings import (
    Holdings,
    Lot,
    Lots,
    Part,
    changes_of,
    lots_after,
    plan_payment,
    stored_legs,
)
from promptforge.actors.billing.ledger.sales.domain import Deal, purchase_journal, share_of
from promptforge.actors.billing.ledger.topups.domain import topup_journal

AMOUNTS = st.integers(1, 10**12)
FEES = st.integers(0, 10_000)


@st.composite
def purses(draw: st.DrawFn) -> Holdings:
    """What a user can have: every granted and purchased credit is in a lot."""
    kinds = draw(st.lists(st.tuples(st.sampled_from([Fund.GRANTED, Fund.PURCHASED]), AMOUNTS), max_size=6))
    lots = tuple(Lot(f"lot:{number}", fund, amount) for number, (fund, amount) in enumerate(kinds))
    sums = {fund: sum(lot.remaining for lot in lots if lot.fund is fund) for fund in Fund}
    earned = draw(st.integers(0, 10**12))
    return Holdings(granted=sums[Fund.GRANTED], purchased=sums[Fund.PURCHASED], earned=earned, lots=lots)


@st.composite
def payments(draw: st.DrawFn) -> tuple[Holdings, int]:
    """A purse and a price that it can pay."""
    purse = draw(purses().filter(lambda purse: purse.available > 0))
    return purse, draw(st.integers(1, purse.available))


def sale(parts: tuple[Part, ...], fee_bp: int) -> Journal:
    deal = Deal("pur_1", "usr_b", "usr_s", sum(part.amount for part in parts))
    return purchase_journal(deal, parts=parts, fee_bp=fee_bp)


def total(journal: Journal, account: object, source: Fund | None = None) -> int:
    legs = [leg for leg in journal.legs if leg.account is account and source in (None, leg.source)]
    return sum(leg.amount for leg in legs)


@given(price=st.integers(0, 10**15), fee_bp=FEES)
def test_a_price_is_divided_without_a_rest(price: int, fee_bp: int) -> None:
    share = share_of(price, fee_bp)
    assert share.seller + share.fee == price
    assert share.seller >= 0
    assert share.fee >= 0
    assert share.seller * 10_000 <= price * (10_000 - fee_bp) < (share.seller + 1) * 10_000


@given(payment=payments(), fee_bp=FEES)
def test_the_legs_of_every_sale_sum_to_zero_and_divide_the_price(payment: tuple[Holdings, int], fee_bp: int) -> None:
    purse, price = payment
    journal = sale(plan_payment(purse, price), fee_bp)
    assert sum(leg.amount for leg in journal.legs) == 0
    assert sum(leg.amount for leg in journal.legs if leg.user_id == "usr_b") == -price
    assert total(journal, Owed.PENDING) == share_of(price, fee_bp).seller
    assert total(journal, Platform.FEES) == share_of(price, fee_bp).fee


@given(payment=payments(), fee_bp=FEES)
def test_granted_credits_never_become_payable(payment: tuple[Holdings, int], fee_bp: int) -> None:
    purse, price = payment
    parts = plan_payment(purse, price)
    journal = sale(parts, fee_bp)
    granted = sum(part.amount for part in parts if part.fund is Fund.GRANTED)
    payable = total(journal, Owed.PENDING, Fund.PURCHASED)
    assert payable * 10_000 <= (price - granted) * (10_000 - fee_bp)
    assert 0 <= total(journal, Owed.PENDING, Fund.GRANTED) <= granted
    assert all(leg.source is not None for leg in journal.legs if leg.account is Owed.PENDING)


@given(payment=payments())
def test_granted_credits_are_spent_before_purchased_ones_and_earned_ones_last(payment: tuple[Holdings, int]) -> None:
    purse, price = payment
    spent = dict.fromkeys(Fund, 0)
    for part in plan_payment(purse, price):
        spent[part.fund] += part.amount
    assert sum(spent.values()) == price
    assert spent[Fund.GRANTED] == min(price, purse.granted)
    assert spent[Fund.PURCHASED] == min(price - spent[Fund.GRANTED], purse.purchased)
    assert spent[Fund.EARNED] == price - spent[Fund.GRANTED] - spent[Fund.PURCHASED] <= purse.earned


@given(payment=payments())
def test_what_is_left_of_the_lots_is_what_is_left_of_the_balances(payment: tuple[Holdings, int]) -> None:
    purse, price = payment
    journal = sale(plan_payment(purse, price), 1500)
    legs = stored_legs(journal)
    assert legs.keys() == {"usr_b"}, "a sale writes no balance of its seller's"
    after = lots_after(purse.lots, [leg for leg in journal.legs if leg.user_id == "usr_b"])
    for fund in (Fund.GRANTED, Fund.PURCHASED):
        left = sum(lot.remaining for lot in after if lot.fund is fund)
        assert left == purse.balance(fund) + changes_of(legs["usr_b"]).get(fund, 0)
    assert all(lot.remaining > 0 for lot in after)


@given(purse=purses(), excess=st.integers(1, 10**6))
def test_more_than_one_has_cannot_be_spent(purse: Holdings, excess: int) -> None:
    with pytest.raises(InsufficientCredits):
        plan_payment(purse, purse.available + excess)


def test_the_oldest_lot_is_spent_first() -> None:
    lots: Lots = (Lot("topup:a", Fund.PURCHASED, 5), Lot("grant:b", Fund.GRANTED, 5), Lot("topup:c", Fund.PURCHASED, 5))
    parts = plan_payment(Holdings(granted=5, purchased=10, lots=lots), 12)
    assert [(part.lot, part.amount) for part in parts] == [("grant:b", 5), ("topup:a", 5), ("topup:c", 2)]


def test_debt_blocks_spending() -> None:
    purse = Holdings(earned=100, debt=-1)
    with pytest.raises(DebtOutstanding):
        plan_payment(purse, 1)


def test_a_lot_cannot_give_more_than_it_holds() -> None:
    with pytest.raises(InsufficientCredits):
        lots_after((Lot("topup:a", Fund.PURCHASED, 5),), [Leg(Fund.PURCHASED, -6, "usr_b", "topup:a")])


@given(amount=AMOUNTS)
def test_topups_and_grants_bring_one_lot_each(amount: int) -> None:
    topup = topup_journal("cs_1", user_id="usr_b", amount=amount, refs={})
    grant = grant_journal("grt_1", user_id="usr_b", amount=amount, refs={})
    assert (topup.id, grant.id) == ("topup:cs_1", "grant:grt_1")
    legs = [*topup.legs, *grant.legs]
    lots = lots_after((), [leg for leg in legs if leg.user_id])
    assert lots == (Lot("topup:cs_1", Fund.PURCHASED, amount), Lot("grant:grt_1", Fund.GRANTED, amount))


def test_a_free_listing_has_a_journal_without_legs() -> None:
    journal = sale((), 1500)
    assert journal.legs == ()
    assert journal.parties == ("usr_b", "usr_s")


@given(amounts=st.lists(st.integers(-(10**6), 10**6).filter(bool), min_size=1, max_size=8))
def test_a_journal_exists_only_where_its_legs_sum_to_zero(amounts: list[int]) -> None:
    legs = tuple(Leg(Platform.FEES, amount) for amount in amounts)
    if sum(amounts) == 0:
        assert Journal("k", JournalKind.TOPUP, {}, legs).legs == legs
    else:
        with pytest.raises(UnbalancedJournal):
            Journal("k", JournalKind.TOPUP, {}, legs)


def test_only_a_purchase_may_have_no_legs() -> None:
    with pytest.raises(UnbalancedJournal):
        Journal("topup:cs_1", JournalKind.TOPUP, {}, ())


def test_nobodys_credits_move_without_them_being_a_party() -> None:
    legs = (Leg(Platform.GRANTS, -1), Leg(Fund.GRANTED, 1, "usr_b", "grant:1"))
    with pytest.raises(UnbalancedJournal):
        Journal("grant:1", JournalKind.GRANT, {}, legs)


@pytest.mark.parametrize(
    ("account", "amount", "user_id", "lot"),
    [
        (Platform.FEES, 0, None, None),
        (Platform.FEES, 2**63, None, None),
        (Platform.FEES, 1, "usr_b", None),
        (Fund.EARNED, 1, None, None),
        (Fund.EARNED, 1, "usr_b", "topup:a"),
        (Fund.PURCHASED, 1, "usr_b", None),
        (Fund.GRANTED, 1, "usr_b", None),
    ],
)
def test_a_leg_that_makes_no_sense_does_not_exist(
    account: Fund | Platform, amount: int, user_id: str | None, lot: str | None
) -> None:
    with pytest.raises(UnbalancedJournal):
        Leg(account, amount, user_id, lot)
