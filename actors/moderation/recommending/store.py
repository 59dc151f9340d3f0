"""What the platform has spent on recommendations: one document of `moderation_spending` for each day (UTC).

`taken` is what was charged and what runs hold. What nobody knows the end of stays taken: its provider may have charged.
"""

from __future__ import annotations

from datetime import datetime

from promptforge.core.errors import PromptForgeError
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import nobody

SPENDING = "moderation_spending"
INDEXES: dict[str, tuple[Index, ...]] = {SPENDING: ()}
HELD = {SPENDING: nobody("What the platform has spent on a model's recommendations, by days")}


class DaySpent(PromptForgeError):
    """It was decided for this day; another one comes."""

    code = "day_spent"
    status = 429
    title = "What may be spent on recommendations in a day is spent"


class SpendingStore:
    def __init__(self, mongo: Mongo) -> None:
        self._spending = mongo.collection(SPENDING)

    async def take(self, day: str, amount: int, *, most: int, session: Session | None) -> None:
        """In the transaction that reserves. Of two at once one conflicts. Raises `DaySpent`, which aborts it."""
        taken: Document = {"$inc": {"taken": amount}}
        row = await self._spending.find_one_and_upsert({"_id": day}, taken, session=session)
        if row["taken"] > most:
            raise DaySpent

    async def give_back(self, day: str, amount: int, *, session: Session | None) -> None:
        """What of the hold was not charged."""
        await self._spending.update_one({"_id": day}, {"$inc": {"taken": -amount}}, session=session)


def day_of(now: datetime) -> str:
    return f"{now:%Y-%m-%d}"
