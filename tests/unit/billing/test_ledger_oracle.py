"""The invariants see a leak as it happens: rules of the ledger are broken on purpose, and the first time is found.

Each mutation stands for a mistake by which gifts, or what linked accounts sell each other, would become money. The walk
goes on until the mutated rule was asked; what it posts must be called wrong, however much in fees was paid before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from promptforge.actors.billing.ledger import runs
from promptforge.actors.billing.ledger.adjustments import commands as adjustments
from promptforge.actors.billing.ledger.budgets import commands as budgets
from promptforge.actors.billing.ledger.domain import Fund, Journal, Leg, Owed
from promptforge.actors.billing.ledger.sales import commands as sales
from tests.support.books import broken_invariants
from tests.unit.billing.test_ledger_walk import Walk

WALKS, STEPS = 40, 150
Rule = Callable[..., Any]  # Any: what the rules answer
Mutation = Callable[[Rule, Callable[[], None]], Rule]


def _changed(journal: Journal, change: Callable[[Leg], Leg], told: Callable[[], None]) -> Journal:
    legs = tuple(change(leg) for leg in journal.legs)
    if legs != journal.legs:
        told()
    return replace(journal, legs=legs)


def _payable(leg: Leg) -> Leg:
    gift = leg.account is Owed.PENDING and leg.source is Fund.GRANTED
    return replace(leg, source=Fund.PURCHASED) if gift else leg


def _bought(leg: Leg) -> Leg:
    return replace(leg, account=Fund.PURCHASED) if leg.account is Fund.GRANTED and leg.amount > 0 else leg


def _earned(leg: Leg) -> Leg:
    gift = leg.account is Fund.GRANTED and leg.amount > 0
    return replace(leg, account=Fund.EARNED, lot=None) if gift else leg


def gifts_pay_sellers(rule: Rule, told: Callable[[], None]) -> Rule:
    """The part of a sale that was paid with gifts is pending as payable."""
    return lambda *args, **options: _changed(rule(*args, **options), _payable, told)


def gifts_settle_as_bought(rule: Rule, told: Callable[[], None]) -> Rule:
    def mutant(*args: Any, **options: Any) -> Any:  # Any: the rule's own
        journal, left = rule(*args, **options)
        return (_changed(journal, _bought, told) if journal is not None else None), left

    return mutant


def linked_accounts_are_paid(rule: Rule, told: Callable[[], None]) -> Rule:
    def mutant(sale: Any, terms: Any, *, linked: bool = False) -> Any:  # Any: the rule's own
        if linked and sale.payable:
            told()
        return rule(sale, terms)

    return mutant


def gifts_come_back_as_bought(rule: Rule, told: Callable[[], None]) -> Rule:
    def mutant(*args: Any) -> Any:  # Any: the rule's own
        legs, claim = rule(*args)
        changed = [_bought(leg) for leg in legs]
        if changed != legs:
            told()
        return changed, claim

    return mutant


def linked_runs_are_paid(rule: Rule, told: Callable[[], None]) -> Rule:
    def mutant(run_id: str, parts: Any, earned: Any) -> Any:  # Any: the rule's own
        legs = rule(run_id, parts, replace(earned, linked=False))
        if legs != rule(run_id, parts, earned):
            told()
        return legs

    return mutant


def gifts_pay_for_runs(rule: Rule, told: Callable[[], None]) -> Rule:
    def mutant(run_id: str, parts: Any, earned: Any) -> Any:  # Any: the rule's own
        legs = rule(run_id, parts, earned)
        changed = [_payable(leg) for leg in legs]
        if changed != legs:
            told()
        return changed

    return mutant


def gifts_are_earned(rule: Rule, told: Callable[[], None]) -> Rule:
    return lambda *args, **options: _changed(rule(*args, **options), _earned, told)


def a_budget_comes_back_earned(rule: Rule, told: Callable[[], None]) -> Rule:
    def mutant(budget: Any) -> Any:  # Any: the rule's own
        journal = rule(budget)
        return _changed(journal, _earned, told) if journal is not None else None

    return mutant


@pytest.mark.parametrize(
    ("module", "name", "mutate"),
    [
        (sales, "purchase_journal", gifts_pay_sellers),
        (sales, "settled", gifts_settle_as_bought),
        (sales, "settled", linked_accounts_are_paid),
        (sales, "refund_of", gifts_come_back_as_bought),
        (runs, "_earning_legs", linked_runs_are_paid),
        (runs, "_earning_legs", gifts_pay_for_runs),
        (runs, "charge_journal", gifts_are_earned),
        (adjustments, "grant_journal", gifts_are_earned),
        (budgets, "return_journal", a_budget_comes_back_earned),
    ],
    ids=lambda value: value.__name__.rpartition(".")[2] if callable(value) or hasattr(value, "__name__") else value,
)
def test_the_first_leak_is_found(
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    mutate: Mutation,  # Any: a module
) -> None:
    leaks: list[None] = []
    rng = Random(6)
    monkeypatch.setattr(module, name, mutate(getattr(module, name), lambda: leaks.append(None)))
    for _ in range(WALKS):
        world = _World(rng)
        for _ in range(STEPS):
            before = len(leaks), len(world.pages.journals)
            world.step()
            if len(leaks) > before[0] and len(world.pages.journals) > before[1]:
                assert broken_invariants(world.pages) != [], "it leaked, and nothing was found"
                return
    pytest.fail("the mutated rule was never asked, so this proves nothing")


class _World(Walk):
    """Linked accounts from the first step on."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._share_a_card()
