"""Sets credits aside for trials of listings, and gives back what is left."""

from __future__ import annotations

from promptforge.actors.billing.ledger.budgets.commands import fund, give_back
from promptforge.actors.billing.ledger.budgets.domain import Budget
from promptforge.actors.billing.ledger.budgets.messages import BudgetState, FundBudget, ListBudgets, ReturnBudgets
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class BudgetsActor(Actor):
    name = "budgets"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @handles(FundBudget, key="user_id", transactional=True)
    async def fund_budget(self, message: FundBudget, context: Context) -> BudgetState:
        async def work(tx: Context) -> BudgetState:
            amount, subject = message.amount_millicredits, message.listing_id
            books = self._ledger.open(tx)
            budget = await fund(books, message.budget_id, user_id=message.user_id, subject=subject, amount=amount)
            return _state(budget)

        return await context.transaction(work)

    @handles(ReturnBudgets, key="user_id", transactional=True)
    async def return_budgets(self, message: ReturnBudgets, context: Context) -> tuple[BudgetState, ...]:
        async def work(tx: Context) -> tuple[BudgetState, ...]:
            ended = await give_back(self._ledger.open(tx), message.listing_id, user_id=message.user_id)
            return tuple(_state(budget) for budget in ended)

        return await context.transaction(work)

    @handles(ListBudgets, transactional=True)
    async def list_budgets(self, message: ListBudgets, context: Context) -> tuple[BudgetState, ...]:
        budgets = await self._ledger.budgets.open_of(message.listing_id, session=context.session)
        return tuple(_state(budget) for budget in budgets)


def _state(budget: Budget) -> BudgetState:
    return BudgetState(
        budget.id, budget.funded, budget.spent, budget.held, budget.closing, budget.ended, budget.created_at
    )
