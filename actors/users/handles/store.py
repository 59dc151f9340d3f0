"""Every query on `handles`, one document for all handles that look alike, whose `_id` is their skeleton, and on
`held_handles`, the hashes of those that erased accounts had.

So one person has it, whoever asks at once: two claims write one document and conflict. A hash is there before the
document goes, so there is no moment at which somebody could take the handle.
"""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.users.handles.domain import KEPT_FREE, MOST_SPELLINGS, held_as
from promptforge.core.alike import drawn_together, skeleton
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject, nobody

HANDLES = "handles"
HOLDS = "held_handles"
INDEXES: dict[str, tuple[Index, ...]] = {
    HANDLES: (Index((("user_id", 1),)),),
    HOLDS: (Index((("until", 1),), ttl_seconds=0),),
}
HELD = {
    HANDLES: Held(
        "Handles that you have or had",
        (Subject("user_id", deleted=True),),
        plain=frozenset({"_id", "spellings"}),
    ),
    HOLDS: nobody("Hashes of handles that erased accounts had, until somebody may have them"),
}


class HandleStore:
    def __init__(self, mongo: Mongo) -> None:
        self._handles = mongo.collection(HANDLES)
        self._holds = mongo.collection(HOLDS)

    async def claim(self, handle: str, user_id: str, *, now: datetime, session: Session | None) -> bool:
        """False where somebody else has it or one that looks like it, or had it until not long ago, erased or not.

        Only in a transaction. An upsert on the key: a duplicate key would abort it.
        """
        wanted: Document = {"_id": skeleton(handle)}
        there = await self._handles.find_one(wanted, session=session)
        theirs = there is not None and there["user_id"] != user_id
        if there is not None and theirs and (there["given_up_at"] is None or there["given_up_at"] > now - KEPT_FREE):
            return False
        held = [held_as(alike) for alike in {skeleton(handle), drawn_together(handle)}]
        if await self._holds.find_one({"_id": {"$in": held}, "until": {"$gt": now}}, session=session):
            return False
        spellings = [] if there is None or theirs else [one for one in there["spellings"] if one != handle]
        latest = [*spellings, handle][-MOST_SPELLINGS:]
        kept = {"user_id": user_id, "spellings": latest, "given_up_at": None}
        await self._handles.update_one(wanted, {"$set": kept}, upsert=True, session=session)
        return True

    async def give_up(self, handle: str, user_id: str, *, now: datetime, session: Session | None) -> None:
        """It leads to them for a while, unless they take it again."""
        mine = {"_id": skeleton(handle), "user_id": user_id}
        await self._handles.update_one(mine, {"$set": {"given_up_at": now}}, session=session)

    async def count_kept(self, user_id: str, *, beside: str, now: datetime, session: Session | None) -> int:
        """How many of those that they gave up are kept for them, without this one and what looks like it."""
        mine: Document = {"user_id": user_id, "given_up_at": {"$gt": now - KEPT_FREE}, "_id": {"$ne": skeleton(beside)}}
        return await self._handles.count_documents(mine, session=session)

    async def hold_back(self, user_id: str, *, now: datetime) -> None:
        """What they have or had until not long ago is nobody's for a while, also once their documents are gone."""
        async for row in self._handles.find({"user_id": user_id}):
            until = (row["given_up_at"] or now) + KEPT_FREE
            if until > now:
                wanted = {"_id": held_as(row["_id"])}
                await self._holds.update_one(wanted, {"$setOnInsert": {"until": until}}, upsert=True)

    async def find_owner(self, handle: str, *, now: datetime, session: Session | None) -> str | None:
        """Whose it is, or was until not long ago."""
        row = await self._handles.find_one({"_id": skeleton(handle), "spellings": handle}, session=session)
        if row is None or (row["given_up_at"] is not None and row["given_up_at"] <= now - KEPT_FREE):
            return None
        owner: str = row["user_id"]
        return owner

    async def written_out(self) -> None:
        """Documents from when skeletons were drawn together get the ids that they have now; it can be done again.

        Of two that look alike, as nobody saw then, who has the handle comes before who had it, and then whose account
        is older; the other keeps the handle too, until they take another one.
        """
        rows = self._handles.find({"_id": {"$regex": "[mw]"}}).sort([("given_up_at", 1), ("user_id", 1)])
        async for row in rows:
            fields = {name: value for name, value in row.items() if name != "_id"}
            await self._handles.update_one({"_id": skeleton(row["_id"])}, {"$setOnInsert": fields}, upsert=True)
            await self._handles.delete_one({"_id": row["_id"]})

    async def adopt(self, handle: str, user_id: str) -> None:
        """One from before there was this collection; of several that look alike the first keeps the place."""
        fields = {"user_id": user_id, "spellings": [handle], "given_up_at": None}
        await self._handles.update_one({"_id": skeleton(handle)}, {"$setOnInsert": fields}, upsert=True)
