"""What a run takes, costs and gives back, for every purse, hold and charge that there can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.billing.ledger.domain import Fund, Leg, Owed, Platform
from promptforge.actors.billing.ledger.holdings import Holdings, Lot, Part, came_back, lots_after, plan_payment
from promptforge.actors.billing.ledger.runs import charge_journal, charged, held, reserve_journal
from tests.unit.billing.test_ledger_arithmetic import payments


@given(payments(), st.integers(0, 2 * 10**12))
def test_what_was_held_is_spent_or_given_back_and_nothing_else_moves(payment: tuple[Holdings, int], cost: int) -> None:
    purse, amount = payment
    reserved = reserve_journal("run_1", user_id="usr_a", parts=plan_payment(purse, amount))
    assert held(reserved) == amount
    charge = min(cost, amount)
    closed = charge_journal("run_1", reserved, charge)
    assert charged(closed) == charge
    moved: dict[tuple[object, str | None], int] = {}
    for leg in (*reserved.legs, *closed.legs):
        where = (leg.account, leg.lot)
        moved[where] = moved.get(where, 0) + leg.amount
    assert moved.pop((Owed.RESERVED, None)) == 0
    assert moved.pop((Platform.LLM, None), 0) == charge
    paid = {where: -amount for where, amount in moved.items() if amount}
    spent: tuple[Part, ...] = plan_payment(purse, charge) if charge else ()
    assert paid == {(part.fund, part.lot): part.amount for part in spent}  # as if it had been paid at once


@given(payments())
def test_a_released_hold_leaves_every_lot_as_it_was(payment: tuple[Holdings, int]) -> None:
    purse, amount = payment
    reserved = reserve_journal("run_1", user_id="usr_a", parts=plan_payment(purse, amount))
    closed = charge_journal("run_1", reserved, 0)
    meanwhile = lots_after(purse.lots, reserved.legs)
    after = lots_after(meanwhile, closed.legs)
    assert sorted(after, key=lambda lot: lot.id) == sorted(purse.lots, key=lambda lot: lot.id)


def test_a_lot_that_was_spent_and_is_there_again_is_noticed_and_a_new_one_is_not() -> None:
    first, second = Lot("grant:1", Fund.GRANTED, 5), Lot("grant:2", Fund.GRANTED, 5)
    brought = lots_after((second,), [Leg(Fund.GRANTED, 5, "usr_a", "grant:1")])
    assert came_back((second,), brought, "run:1:close")
    assert not came_back((second,), brought, "grant:1")
    assert not came_back((first, second), (second,), "run:1:reserve")
