"""A budget: credits that a seller sets aside for trial runs of a listing, which each run takes its cost out of.

Funding it moves credits into the seller's `reserved`. A trial holds a part of that without a leg, and its close takes
what the model cost, in the order in which the credits would have been spent. What is left goes back to where it came
from once the seller wants it and no trial holds any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from promptforge.actors.billing.ledger.domain import Journal, JournalKind, Leg, Owed, Platform
from promptforge.actors.billing.ledger.holdings import Part, parts_after, parts_before, sums_by_fund
from promptforge.core.amounts import from_millicredits


@dataclass(frozen=True, slots=True)
class Budget:
    """`subject`: the listing. Of its `parts`, the first `spent` millicredits are gone; `holds` are of trials under way.

    `closing`: nothing new is held, and it ends with the last hold. `ended`: what was left went back.
    """

    id: str
    user_id: str
    subject: str
    parts: tuple[Part, ...]
    created_at: datetime
    spent: int = 0
    holds: Mapping[str, int] = field(default_factory=dict)
    closing: bool = False
    ended: bool = False

    @property
    def funded(self) -> int:
        return sum(part.amount for part in self.parts)

    @property
    def held(self) -> int:
        return sum(self.holds.values())

    @property
    def room(self) -> int:
        """What another trial may hold."""
        return 0 if self.closing or self.ended else self.funded - self.spent - self.held

    def with_hold(self, run_id: str, amount: int) -> Budget:
        return replace(self, holds={**self.holds, run_id: amount})

    def after(self, run_id: str, charge: int) -> Budget:
        """Once a trial has ended, at this cost."""
        left = {one: amount for one, amount in self.holds.items() if one != run_id}
        return replace(self, spent=self.spent + charge, holds=left)


def fund_key(budget_id: str) -> str:
    return f"trials:{budget_id}:fund"


def return_key(budget_id: str) -> str:
    return f"trials:{budget_id}:return"


def fund_journal(budget: Budget) -> Journal:
    legs = [Leg(part.fund, -part.amount, budget.user_id, part.lot) for part in budget.parts]
    legs += _reserved(budget.user_id, budget.parts, 1)
    refs = {"budget_id": budget.id, "listing_id": budget.subject, "reserved": from_millicredits(budget.funded)}
    return Journal(fund_key(budget.id), JournalKind.TRIAL_FUND, refs, tuple(legs), (budget.user_id,))


def return_journal(budget: Budget) -> Journal | None:
    """What is left, back to where it came from; None where nothing is."""
    left = parts_after(budget.parts, budget.spent)
    if not left:
        return None
    legs = [*_reserved(budget.user_id, left, -1)]
    legs += [Leg(part.fund, part.amount, budget.user_id, part.lot) for part in left]
    refs = {"budget_id": budget.id, "listing_id": budget.subject}
    kind = JournalKind.TRIAL_RETURN
    return Journal(return_key(budget.id), kind, refs, tuple(legs), (budget.user_id,), reverses=fund_key(budget.id))


def hold_journal(key: str, run_id: str, budget: Budget, amount: int) -> Journal:
    """Without a leg: it is the seller's `reserved` already."""
    refs = {"run_id": run_id, "reserved": from_millicredits(amount), "budget_id": budget.id}
    return Journal(key, JournalKind.RUN_RESERVE, refs, (), (budget.user_id,))


def spend_journal(key: str, reserved: Journal, budget: Budget, charge: int) -> Journal:
    """The close of a trial: what the model cost, out of the budget."""
    spent = parts_before(parts_after(budget.parts, budget.spent), charge)
    legs = [*_reserved(budget.user_id, spent, -1)]
    if charge:
        legs.append(Leg(Platform.LLM, charge))
    refs = {"run_id": reserved.refs["run_id"], "charged": from_millicredits(charge), "budget_id": budget.id}
    return Journal(key, JournalKind.RUN_CLOSE, refs, tuple(legs), (budget.user_id,), reverses=reserved.id)


def _reserved(user_id: str, parts: Sequence[Part], sign: int) -> list[Leg]:
    return [Leg(Owed.RESERVED, sign * amount, user_id, source=fund) for fund, amount in sums_by_fund(parts)]
