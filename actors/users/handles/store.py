"""Every query on the collection `handles`: one document for all handles that look alike, whose `_id` is their skeleton.

So one person has it, whoever asks at once: two claims write one document and conflict.
"""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.users.handles.domain import KEPT_FREE
from promptforge.core.alike import skeleton
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject

HANDLES = "handles"
INDEXES: dict[str, tuple[Index, ...]] = {HANDLES: (Index((("user_id", 1),)),)}
HELD = {
    HANDLES: Held(
        "Handles that you have or had",
        (Subject("user_id", deleted=True),),
        plain=frozenset({"_id", "spellings"}),
    )
}


class HandleStore:
    def __init__(self, mongo: Mongo) -> None:
        self._handles = mongo.collection(HANDLES)

    async def claim(self, handle: str, user_id: str, *, now: datetime, session: Session | None) -> bool:
        """False where somebody else has it or one that looks like it, or had it until not long ago.

        Only in a transaction. An upsert on the key: a duplicate key would abort it.
        """
        wanted: Document = {"_id": skeleton(handle)}
        there = await self._handles.find_one(wanted, session=session)
        theirs = there is not None and there["user_id"] != user_id
        if there is not None and theirs and (there["given_up_at"] is None or there["given_up_at"] > now - KEPT_FREE):
            return False
        spellings = [] if there is None or theirs else [one for one in there["spellings"] if one != handle]
        kept = {"user_id": user_id, "spellings": [*spellings, handle], "given_up_at": None}
        await self._handles.update_one(wanted, {"$set": kept}, upsert=True, session=session)
        return True

    async def give_up(self, handle: str, user_id: str, *, now: datetime, session: Session | None) -> None:
        """It leads to them for a while, unless they take it again."""
        mine = {"_id": skeleton(handle), "user_id": user_id}
        await self._handles.update_one(mine, {"$set": {"given_up_at": now}}, session=session)

    async def find_owner(self, handle: str, *, now: datetime, session: Session | None) -> str | None:
        """Whose it is, or was until not long ago."""
        row = await self._handles.find_one({"_id": skeleton(handle), "spellings": handle}, session=session)
        if row is None or (row["given_up_at"] is not None and row["given_up_at"] <= now - KEPT_FREE):
            return None
        owner: str = row["user_id"]
        return owner

    async def adopt(self, handle: str, user_id: str) -> None:
        """One from before there was this collection; of several that look alike the first keeps the place."""
        fields = {"user_id": user_id, "spellings": [handle], "given_up_at": None}
        await self._handles.update_one({"_id": skeleton(handle)}, {"$setOnInsert": fields}, upsert=True)
