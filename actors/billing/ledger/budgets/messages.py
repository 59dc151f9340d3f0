"""Budgets for trial runs, as the marketplace sees them: it says whose a listing is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Ge, Le, Len

from promptforge.core.messages import Command, Query, internal

Id = Annotated[str, Len(1, 64)]


@dataclass(frozen=True, slots=True)
class BudgetState:
    """Millicredits that were set aside for a listing's trials, of what has not ended; `held` is for trials under way.

    `closing`: it ends with those, and what is left goes back.
    """

    budget_id: str
    funded: int
    spent: int
    held: int
    closing: bool
    ended: bool
    created_at: datetime


@internal
class FundBudget(Command[BudgetState]):
    """Set credits of a user aside for trials of a listing: `trials:{id}:fund`, once.

    Raises `InsufficientCredits` or `DebtOutstanding`.
    """

    budget_id: Id
    user_id: Id
    listing_id: Id
    amount_millicredits: Annotated[int, Ge(1), Le(10**12)]


@internal
class ReturnBudgets(Command[tuple[BudgetState, ...]]):
    """Give a user back what is left of the budgets for a listing: at once, or with the last trial that holds some."""

    user_id: Id
    listing_id: Id


@internal
class ListBudgets(Query[tuple[BudgetState, ...]]):
    """The budgets for a listing that have not ended, the oldest first."""

    listing_id: Id
