"""Every query on the collections `ledger_adjustments` and `ledger_grant_budgets`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from promptforge.actors.billing.ledger.messages import AdjustmentKind, AdjustmentState, AdjustmentView
from promptforge.core.amounts import from_millicredits
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Erased, Held, Subject, kept, nobody

ADJUSTMENTS = "ledger_adjustments"
BUDGETS = "ledger_grant_budgets"
ADJUSTMENT_PREFIX = "adj"
"""Of their ids."""
INDEXES: dict[str, tuple[Index, ...]] = {
    ADJUSTMENTS: (
        Index((("created_at", -1), ("_id", -1))),
        Index((("user_id", 1),)),
        Index((("state", 1), ("created_at", -1), ("_id", -1))),
    ),
    BUDGETS: (Index((("expire_at", 1),), ttl_seconds=0),),
}
LEDGER = kept("why credits were given or written off", years=10, since="created_at", then=Erased.REDACTED)
HELD = {
    ADJUSTMENTS: Held(
        "Large grants and write-offs, with why two operators made them",
        (Subject("user_id", {"reason": LEDGER, "decision_reason": LEDGER}),),
        plain=frozenset({"kind", "state", "requested_by", "decided_by"}),
    ),
    BUDGETS: nobody("What administrators gave away each day"),
}


@dataclass(frozen=True, slots=True)
class Adjustment:
    """`amount` in millicredits."""

    id: str
    kind: AdjustmentKind
    state: AdjustmentState
    user_id: str
    amount: int
    reason: str
    requested_by: str
    created_at: datetime
    decided_by: str | None = None
    decision_reason: str | None = None
    decided_at: datetime | None = None

    def view(self) -> AdjustmentView:
        return AdjustmentView(
            id=self.id,
            kind=self.kind,
            state=self.state,
            user_id=self.user_id,
            amount=from_millicredits(self.amount),
            reason=self.reason,
            requested_by=self.requested_by,
            decided_by=self.decided_by,
            decision_reason=self.decision_reason,
            created_at=self.created_at,
            decided_at=self.decided_at,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    state: AdjustmentState
    decided_by: str
    decided_at: datetime
    reason: str | None = None


class AdjustmentStore:
    def __init__(self, mongo: Mongo) -> None:
        self._adjustments = mongo.collection(ADJUSTMENTS)
        self._budgets = mongo.collection(BUDGETS)

    async def insert(self, adjustment: Adjustment, *, session: Session | None) -> None:
        row = {
            "_id": adjustment.id,
            "kind": adjustment.kind.value,
            "state": adjustment.state.value,
            "user_id": adjustment.user_id,
            "amount": adjustment.amount,
            "reason": adjustment.reason,
            "requested_by": adjustment.requested_by,
            "decided_by": None,
            "decision_reason": None,
            "created_at": adjustment.created_at,
            "decided_at": None,
        }
        await self._adjustments.insert_one(row, session=session)

    async def get(self, adjustment_id: str, *, session: Session | None) -> Adjustment:
        """Raises `NotFound`."""
        row = await self._adjustments.find_one({"_id": adjustment_id}, session=session)
        if row is None:
            raise NotFound("There is no such adjustment")
        return _adjustment_from(row)

    async def decide(self, adjustment_id: str, decision: Decision, *, session: Session | None) -> Adjustment | None:
        """Decide what nobody has decided yet; None where somebody has."""
        row = await self._adjustments.find_one_and_update(
            {"_id": adjustment_id, "state": AdjustmentState.REQUESTED.value},
            {
                "$set": {
                    "state": decision.state.value,
                    "decided_by": decision.decided_by,
                    "decision_reason": decision.reason,
                    "decided_at": decision.decided_at,
                }
            },
            session=session,
        )
        return None if row is None else _adjustment_from(row)

    async def list_page(self, state: AdjustmentState | None, cursor: Cursor | None, limit: int) -> Page[AdjustmentView]:
        wanted: Document = {"state": state.value} if state is not None else {}
        rows = self._adjustments.find({**wanted, **(cursor.after() if cursor else {})})
        found = await rows.sort([("created_at", -1), ("_id", -1)]).limit(limit + 1).to_list(limit + 1)
        return page_of(found, limit, lambda row: _adjustment_from(row).view())

    async def spend_budget(self, admin_id: str, amount: int, *, limit: int, now: datetime, session: Session) -> bool:
        """Count `amount` against what one admin may give away on one day (UTC); False where it is too much."""
        day = {"_id": f"{admin_id}:{now:%Y-%m-%d}"}
        made = {"$setOnInsert": {"spent": 0, "expire_at": now + timedelta(days=3)}}
        await self._budgets.update_one(day, made, upsert=True, session=session)
        left = {**day, "spent": {"$lte": limit - amount}}
        written = await self._budgets.update_one(left, {"$inc": {"spent": amount}}, session=session)
        return bool(written.matched_count)


def _adjustment_from(row: Document) -> Adjustment:
    return Adjustment(
        id=row["_id"],
        kind=AdjustmentKind(row["kind"]),
        state=AdjustmentState(row["state"]),
        user_id=row["user_id"],
        amount=row["amount"],
        reason=row["reason"],
        requested_by=row["requested_by"],
        created_at=row["created_at"],
        decided_by=row["decided_by"],
        decision_reason=row["decision_reason"],
        decided_at=row["decided_at"],
    )
