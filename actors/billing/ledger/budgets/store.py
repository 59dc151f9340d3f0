"""Every query on the collection `trial_budgets`."""

from __future__ import annotations

from promptforge.actors.billing.ledger.budgets.domain import Budget
from promptforge.actors.billing.ledger.domain import Fund
from promptforge.actors.billing.ledger.holdings import Part
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject

BUDGETS = "trial_budgets"
INDEXES: dict[str, tuple[Index, ...]] = {
    BUDGETS: (Index((("subject", 1), ("created_at", 1)), partial={"ended": False}), Index((("user_id", 1),))),
}
HELD = {
    BUDGETS: Held("Credits that you set aside for trials", (Subject("user_id"),), plain=frozenset({"*"})),
}
MOST_OPEN = 50


class BudgetStore:
    def __init__(self, mongo: Mongo) -> None:
        self._budgets = mongo.collection(BUDGETS)

    async def find(self, budget_id: str, *, session: Session | None) -> Budget | None:
        row = await self._budgets.find_one({"_id": budget_id}, session=session)
        return None if row is None else _budget_from(row)

    async def open_of(self, subject: str, *, session: Session | None) -> list[Budget]:
        """Those that have not ended, the oldest first."""
        rows = self._budgets.find({"subject": subject, "ended": False}, session=session)
        return [_budget_from(row) for row in await rows.sort([("created_at", 1)]).limit(MOST_OPEN).to_list(MOST_OPEN)]

    async def put(self, budget: Budget, *, session: Session) -> None:
        """Two transactions that write the same one conflict."""
        row: Document = {
            "user_id": budget.user_id,
            "subject": budget.subject,
            "parts": [[part.fund.value, part.amount, part.lot] for part in budget.parts],
            "spent": budget.spent,
            "holds": dict(budget.holds),
            "closing": budget.closing,
            "ended": budget.ended,
            "created_at": budget.created_at,
        }
        await self._budgets.update_one({"_id": budget.id}, {"$set": row}, upsert=True, session=session)


def _budget_from(row: Document) -> Budget:
    return Budget(
        id=row["_id"],
        user_id=row["user_id"],
        subject=row["subject"],
        parts=tuple(Part(Fund(fund), amount, lot) for fund, amount, lot in row["parts"]),
        created_at=row["created_at"],
        spent=row["spent"],
        holds=row["holds"],
        closing=row["closing"],
        ended=row["ended"],
    )
