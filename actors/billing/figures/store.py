"""Reads legs in the order of their ids. Rows of the service before this one are no legs."""

from __future__ import annotations

from promptforge.actors.billing.figures.messages import LegView
from promptforge.actors.billing.ledger.store import JOURNALS, LEGS
from promptforge.core.amounts import from_millicredits
from promptforge.core.mongo import Document, Mongo


class FigureStore:
    def __init__(self, mongo: Mongo) -> None:
        self._legs = mongo.collection(LEGS)
        self._journals = mongo.collection(JOURNALS)

    async def scan_legs(self, after: str, limit: int) -> list[LegView]:
        """The journals' ids are strings, and so are those of their legs; what was here before has others."""
        rows = await self._legs.find({"_id": {"$gt": after}}).sort([("_id", 1)]).limit(limit).to_list(limit)
        journals = list({row["journal_id"] for row in rows if row.get("journal_id")})
        found = self._journals.find({"_id": {"$in": journals}}, {"kind": 1})
        kinds = {row["_id"]: row["kind"] for row in await found.to_list(len(journals) or 1)}
        return [_leg_from(row, kinds) for row in rows]

    async def count_legs(self) -> int:
        return await self._legs.count_documents({"_id": {"$gt": ""}})

    async def count_entries(self, user_id: str) -> int:
        return await self._journals.count_documents({"parties": user_id})


def _leg_from(row: Document, kinds: dict[str, str]) -> LegView:
    journal_id = row.get("journal_id") or ""
    return LegView(
        id=row["_id"],
        journal_id=journal_id,
        kind=kinds.get(journal_id, ""),
        account=row.get("account") or "",
        user_id=row.get("user_id"),
        amount=from_millicredits(row["amount"]) if isinstance(row.get("amount"), int) else "0",
        lot=row.get("lot"),
        source=row.get("source"),
        created_at=row["created_at"],
    )
