"""Every query on the collection `account_deletions`: one document for each person who asked, whose `_id` is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.accounts.domain import Deletion
from promptforge.actors.accounts.messages import DeletionState, Obstacle
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import REMOVED, Held, Subject, marks

DELETIONS = "account_deletions"
INDEXES: dict[str, tuple[Index, ...]] = {DELETIONS: (Index((("state", 1), ("due_at", 1))),)}
HELD = {
    DELETIONS: Held(
        "That you asked for your account to be deleted",
        (Subject("_id", marks(REMOVED, "uid")),),
        plain=frozenset({"state", "obstacles"}),
        secret=frozenset({"uid"}),
    )
}
GOES_ON = frozenset(DeletionState) - {DeletionState.CANCELLED}


class DeletionStore:
    def __init__(self, mongo: Mongo) -> None:
        self._deletions = mongo.collection(DELETIONS)

    async def find(self, user_id: str, *, session: Session | None = None) -> Deletion | None:
        row = await self._deletions.find_one({"_id": user_id}, session=session)
        return None if row is None else _deletion_from(row)

    async def put(self, deletion: Deletion, *, session: Session | None) -> None:
        """Whole. Two transactions that read it and write it conflict, and the second one looks again."""
        row: Document = {
            "state": deletion.state.value,
            "requested_at": deletion.requested_at,
            "due_at": deletion.due_at,
            "give_up_credits": deletion.give_up_credits,
            "obstacles": [obstacle.value for obstacle in deletion.obstacles],
            "uid": deletion.uid,
            "erased_at": deletion.erased_at,
        }
        await self._deletions.update_one({"_id": deletion.user_id}, {"$set": row}, upsert=True, session=session)

    async def list_leaving(self, user_ids: Sequence[str], *, session: Session | None) -> frozenset[str]:
        """Those of them whose deletion waits."""
        wanted = {"_id": {"$in": list(user_ids)}, "state": DeletionState.SCHEDULED.value}
        rows = await self._deletions.find(wanted, {"_id": 1}, session=session).to_list(len(user_ids))
        return frozenset([row["_id"] for row in rows])

    async def list_due(self, now: datetime, limit: int) -> list[str]:
        """The people whose deletion has a next step that is due."""
        wanted = {"state": {"$in": sorted(state.value for state in GOES_ON)}, "due_at": {"$lte": now}}
        rows = self._deletions.find(wanted, {"_id": 1}).sort([("due_at", 1)]).limit(limit)
        return [row["_id"] for row in await rows.to_list(limit)]


def _deletion_from(row: Document) -> Deletion:
    return Deletion(
        user_id=row["_id"],
        state=DeletionState(row["state"]),
        requested_at=row["requested_at"],
        due_at=row["due_at"],
        give_up_credits=row["give_up_credits"],
        obstacles=tuple(Obstacle(name) for name in row["obstacles"]),
        uid=row.get("uid"),
        erased_at=row.get("erased_at"),
    )
