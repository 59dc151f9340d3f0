"""Every query on the collection `favourites`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject

FAVOURITES = "favourites"
INDEXES: dict[str, tuple[Index, ...]] = {
    FAVOURITES: (Index((("user_id", 1), ("created_at", -1), ("_id", -1))),),
}
HELD = {
    FAVOURITES: Held("Listings that you marked", (Subject("user_id", deleted=True),), plain=frozenset({"_id"})),
}


@dataclass(frozen=True, slots=True)
class Favourite:
    listing_id: str
    created_at: datetime


class FavouriteStore:
    def __init__(self, mongo: Mongo) -> None:
        self._favourites = mongo.collection(FAVOURITES)

    async def add(self, user_id: str, listing_id: str, *, now: datetime, session: Session | None) -> Favourite:
        """Answers the older one where there is one."""
        mark = {"$setOnInsert": {"user_id": user_id, "listing_id": listing_id, "created_at": now}}
        row = await self._favourites.find_one_and_upsert({"_id": f"{user_id}:{listing_id}"}, mark, session=session)
        return _favourite_from(row)

    async def remove(self, user_id: str, listing_id: str, *, session: Session | None) -> None:
        await self._favourites.delete_one({"_id": f"{user_id}:{listing_id}"}, session=session)

    async def list_page(self, user_id: str, *, cursor: Cursor | None, limit: int) -> Page[Favourite]:
        wanted: Document = {"user_id": user_id, **(cursor.after() if cursor else {})}
        rows = self._favourites.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _favourite_from)


def _favourite_from(row: Document) -> Favourite:
    return Favourite(row["listing_id"], row["created_at"])
