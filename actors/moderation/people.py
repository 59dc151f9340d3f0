"""Who else brought a case up, beyond those whom it keeps itself: a row for each, so that each is counted once.

The case's document is bounded, and how many report the same is not.
"""

from __future__ import annotations

from promptforge.core.ids import new_id
from promptforge.core.mongo import Mongo, Session
from promptforge.core.personal import Held, Subject

PEOPLE = "moderation_people"
_WHO = Subject("user_id", deleted=True, keyed=True)
HELD = {
    PEOPLE: Held(
        "Which cases of moderators you were one of many to bring up",
        (_WHO,),
        plain=frozenset({"_id", "case_id", "mark"}),
    ),
}


class CasePeople:
    """Found by their ids alone: the person's, and the case's."""

    def __init__(self, mongo: Mongo) -> None:
        self._people = mongo.collection(PEOPLE)

    async def add(self, case_id: str, user_id: str, *, session: Session | None) -> bool:
        """False where they are one of them already. The same person twice at once conflicts, and one starts over."""
        mark = new_id("per")
        row = await self._people.find_one_and_upsert(
            {"_id": f"{user_id}:{case_id}"},
            {"$setOnInsert": {"user_id": user_id, "case_id": case_id, "mark": mark}},
            session=session,
        )
        return bool(row["mark"] == mark)
