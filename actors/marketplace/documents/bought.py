"""Reads what was bought for search: a document for each listing that ever was, whatever became of it since.

There is one for all of its buyers, whose audience is the listing: who owns it is asked when somebody searches, or known
from before. So sales add no documents but the first of each listing.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.marketplace.documents.messages import Bought
from promptforge.actors.marketplace.documents.owned import Owned
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.marketplace.purchases.store import ENTITLEMENTS, PURCHASES
from promptforge.actors.search.messages import Kind, SearchDocument
from promptforge.core.mongo import Document, Mongo
from promptforge.core.personal import REMOVED_TEXT

_SHOWN = {"title": 1, "summary": 1, "description": 1, "tags": 1, "state": 1, "updated_at": 1}


def audience_of(listing_id: str) -> str:
    return f"bought:{listing_id}"


class BoughtStore:
    def __init__(self, mongo: Mongo, owned: Owned) -> None:
        self._owned = owned
        self._listings = mongo.collection(LISTINGS)
        self._purchases = mongo.collection(PURCHASES)
        self._entitlements = mongo.collection(ENTITLEMENTS)

    async def read(self, listing_ids: Sequence[str]) -> tuple[SearchDocument, ...]:
        rows = await self._listings.find({"_id": {"$in": list(listing_ids)}}, _SHOWN).to_list(len(listing_ids))
        return await self._documents(rows)

    async def scan(self, after: str | None, limit: int) -> tuple[tuple[SearchDocument, ...], str | None]:
        """The documents among the next `limit` listings, and where to go on."""
        behind: Document = {} if after is None else {"_id": {"$gt": after}}
        rows = await self._listings.find(behind, _SHOWN).sort([("_id", 1)]).limit(limit).to_list(limit)
        return await self._documents(rows), rows[-1]["_id"] if len(rows) == limit else None

    async def list_first_bought(self, purchase_ids: Sequence[str]) -> tuple[str, ...]:
        rows = self._purchases.find({"_id": {"$in": list(purchase_ids)}}, {"listing_id": 1})
        listing_ids = {row["listing_id"] for row in await rows.to_list(len(purchase_ids))}
        first = await self._first_purchases(list(listing_ids))
        return tuple(listing_id for listing_id, purchase_id in first.items() if purchase_id in purchase_ids)

    async def list_bought(self, user_id: str, limit: int) -> tuple[Bought, ...]:
        if (known := self._owned.find(user_id)) is not None and known[0] == limit:
            return known[1]
        begun = self._owned.begin()
        rows = self._entitlements.find({"buyer_id": user_id}).sort([("created_at", -1)]).limit(limit)
        bought = tuple(
            [
                Bought(row["listing_id"], row["purchase_id"], audience_of(row["listing_id"]))
                for row in await rows.to_list(limit)
            ]
        )
        self._owned.keep(begun, user_id, (limit, bought))
        return bought

    async def _first_purchases(self, listing_ids: Sequence[str]) -> dict[str, str]:
        """By listing, the purchase with the smallest id; from an index alone, one look for each listing."""
        stages: list[Document] = [
            {"$match": {"listing_id": {"$in": list(listing_ids)}}},
            {"$sort": {"listing_id": 1, "_id": 1}},
            {"$group": {"_id": "$listing_id", "first": {"$first": "$_id"}}},
        ]
        return {row["_id"]: row["first"] async for row in self._purchases.aggregate(stages)}

    async def _documents(self, rows: Sequence[Document]) -> tuple[SearchDocument, ...]:
        sold = await self._first_purchases([row["_id"] for row in rows])
        return tuple([await self._document(row) for row in rows if row["_id"] in sold])

    async def _document(self, row: Document) -> SearchDocument:
        """Of what is suspended only the title, as in the library; it may be for what else it says."""
        shown = row["state"] != ListingState.SUSPENDED.value
        title: str = row["title"]
        if title == REMOVED_TEXT:  # its seller's account is gone, and the purchase still says what it was
            newest = await self._purchases.find_one({"listing_id": row["_id"]}, {"title": 1}, sort=[("created_at", -1)])
            title, shown = (title if newest is None else newest["title"]), False
        return SearchDocument(
            kind=Kind.PURCHASE,
            id=row["_id"],
            audience=audience_of(row["_id"]),
            title=title,
            changed_at=row["updated_at"],
            summary=row["summary"] if shown else "",
            body=row["description"] if shown else "",
            tags=tuple(row["tags"]) if shown else (),
        )
