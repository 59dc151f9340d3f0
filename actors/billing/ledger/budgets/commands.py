"""Funding a budget, holding and spending parts of it, and giving the rest back, each exactly once."""

from __future__ import annotations

from dataclasses import replace

from promptforge.actors.billing.errors import BudgetSpent, JournalMismatch
from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.budgets.domain import (
    Budget,
    fund_journal,
    hold_journal,
    return_journal,
    spend_journal,
)
from promptforge.actors.billing.ledger.domain import Journal
from promptforge.actors.billing.ledger.holdings import plan_payment
from promptforge.core.amounts import to_millicredits
from promptforge.core.errors import NotFound

BUDGET = "budget_id"
"""The reference that the journals of a trial have."""


async def fund(books: Books, budget_id: str, *, user_id: str, subject: str, amount: int) -> Budget:
    """Set credits aside; the same budget again answers what was set aside.

    Raises `InsufficientCredits` or `DebtOutstanding`, and `JournalMismatch` for another budget of this id.
    """
    there = await books.find_budget(budget_id)
    if there is not None:
        if (there.user_id, there.subject, there.funded) != (user_id, subject, amount):
            raise JournalMismatch(f"The budget {budget_id} was funded before, and differently")
        return there
    parts = plan_payment(await books.holdings(user_id), amount)
    budget = Budget(budget_id, user_id, subject, parts, books.now)
    await books.post(fund_journal(budget))
    await books.put_budget(budget)
    return budget


async def hold(books: Books, key: str, run_id: str, *, subject: str, amount: int) -> Journal:
    """Hold a part of the oldest budget that has room; the same run again answers the same journal.

    Raises `BudgetSpent` where none has.
    """
    there = await books.find_journal(key)
    if there is not None:
        return there
    for budget in await books.open_budgets(subject):
        if budget.room >= amount:
            await books.put_budget(budget.with_hold(run_id, amount))
            journal = hold_journal(key, run_id, budget, amount)
            await books.post(journal)
            return journal
    raise BudgetSpent


async def spend(books: Books, key: str, reserved: Journal, charge: int) -> Journal:
    """Close a trial: at most what it holds is spent. A budget that is closing ends with its last trial."""
    budget = await books.find_budget(reserved.refs[BUDGET])
    if budget is None:
        raise NotFound(f"There is no budget for {reserved.id}")
    charge = min(charge, to_millicredits(reserved.refs["reserved"]))
    journal = spend_journal(key, reserved, budget, charge)
    await books.post(journal)
    await _put(books, budget.after(reserved.refs["run_id"], charge))
    return journal


async def give_back(books: Books, subject: str, *, user_id: str) -> list[Budget]:
    """End all budgets of a subject: at once, or with the last trial that holds some of one. Answers them."""
    return [
        await _put(books, replace(budget, closing=True))
        for budget in await books.open_budgets(subject)
        if budget.user_id == user_id
    ]


async def _put(books: Books, budget: Budget) -> Budget:
    if budget.closing and not budget.holds:
        journal = return_journal(budget)
        if journal is not None:
            await books.post(journal)
        budget = replace(budget, ended=True)
    await books.put_budget(budget)
    return budget
