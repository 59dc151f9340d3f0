"""Budgets for trials: whose the listing is, is looked at here; the ledger keeps the credits."""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.billing.ledger.budgets.messages import BudgetState, FundBudget, ListBudgets, ReturnBudgets
from promptforge.actors.marketplace.errors import NotRunnable
from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.sealed.messages import (
    FundTrials,
    GetTrialBudget,
    TrialBudgetView,
    WithdrawTrialBudget,
)
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.runtime import Actor, handles


class TrialBudgetsActor(Actor):
    name = "trial_budgets"
    asks = ("budgets",)

    def __init__(self, listings: ListingStore) -> None:
        self._listings = listings

    @handles(FundTrials, key="listing_id", atomic=True)
    async def fund(self, message: FundTrials, context: Context) -> TrialBudgetView:
        listing = await self._listings.get_own(message.listing_id, context.user_id, session=context.session)
        if listing.runs is None or not listing.runs["trials_per_person"]:
            raise NotRunnable("The listing has no trials: say how many a person has, and on which model")
        funded = FundBudget(
            budget_id=new_id("bud"),
            user_id=context.user_id,
            listing_id=listing.id,
            amount_millicredits=to_millicredits(message.credits),
        )
        state = await context.ask(funded)
        facts = {"listing_id": listing.id, "credits": message.credits}
        await context.audit("trials.funded", state.budget_id, after=facts)
        return await self._view(listing.id, context)

    @handles(GetTrialBudget, transactional=True)
    async def get(self, message: GetTrialBudget, context: Context) -> TrialBudgetView:
        listing = await self._listings.get_own(message.listing_id, context.user_id, session=context.session)
        return await self._view(listing.id, context)

    @handles(WithdrawTrialBudget, key="listing_id", atomic=True)
    async def withdraw(self, message: WithdrawTrialBudget, context: Context) -> TrialBudgetView:
        listing = await self._listings.get_own(message.listing_id, context.user_id, session=context.session)
        ended = await context.ask(ReturnBudgets(user_id=context.user_id, listing_id=listing.id))
        for state in ended:
            left = from_millicredits(state.funded - state.spent)
            await context.audit("trials.withdrawn", state.budget_id, after={"listing_id": listing.id, "left": left})
        return await self._view(listing.id, context)

    async def _view(self, listing_id: str, context: Context) -> TrialBudgetView:
        return _view(listing_id, await context.ask(ListBudgets(listing_id=listing_id)))


def _view(listing_id: str, budgets: Sequence[BudgetState]) -> TrialBudgetView:
    return TrialBudgetView(
        listing_id=listing_id,
        funded=from_millicredits(sum(budget.funded for budget in budgets)),
        spent=from_millicredits(sum(budget.spent for budget in budgets)),
        held=from_millicredits(sum(budget.held for budget in budgets)),
        closing=any(budget.closing for budget in budgets),
    )
