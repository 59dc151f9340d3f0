"""What is added up over the market: sales, views by day, ranks; always of some listings or of one seller, by index."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from promptforge.actors.marketplace.insights.domain import TREND_DAYS, ListingSold, Ranks
from promptforge.actors.marketplace.insights.messages import DayViews, ListingDay
from promptforge.actors.marketplace.insights.views import DAYS, day_of
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import Category, ListingState
from promptforge.actors.marketplace.purchases.store import PURCHASES, PurchaseStore
from promptforge.core.mongo import Document, Mongo, UpdateOne

_PUBLISHED = {"state": ListingState.PUBLISHED.value}
_REFUNDED = {"$ne": [{"$ifNull": ["$refunded_at", None]}, None]}
_SOLD: Document = {
    "sales": {"$sum": 1},
    "gross": {"$sum": "$price"},
    "net": {"$sum": "$seller_share"},
    "refunds": {"$sum": {"$cond": [_REFUNDED, 1, 0]}},
    "refunded_net": {"$sum": {"$cond": [_REFUNDED, "$seller_share", 0]}},
}
_SEEN: Document = {"views": {"$sum": "$views"}}
_COUNTS: Document = {
    "linked": {"$ne": True},
    "$expr": {"$and": [{"$gt": ["$payable", 0]}, {"$eq": ["$payable", "$seller_share"]}]},
}
"""As `purchases.domain.counts` says it."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A published listing as it ranks at present."""

    id: str
    rating_count: int
    rating_stars: int
    ranks: Ranks | None
    """None: it has never had any."""


@dataclass(slots=True)
class Tally:
    """Of one listing: counted sales that stand, altogether and by how many days ago; views by how many days ago."""

    sales: int = 0
    sales_by_age: dict[int, int] = field(default_factory=dict)
    views_by_age: dict[int, int] = field(default_factory=dict)


class InsightStore:
    def __init__(self, mongo: Mongo) -> None:
        self._listings = mongo.collection(LISTINGS)
        self._purchases = mongo.collection(PURCHASES)
        self._days = mongo.collection(DAYS)
        self.purchases = PurchaseStore(mongo)

    async def count_published(self, category: Category) -> int:
        return await self._listings.count_documents({**_PUBLISHED, "category": category.value})

    async def count(self, **whose: str) -> int:
        """How many purchases somebody made, or sold."""
        return await self._purchases.count_documents(whose)

    async def views_by_day(self, *, since: datetime, until: datetime) -> list[DayViews]:
        """Of all listings; read from an index alone."""
        pipeline: list[Document] = [
            {"$match": {"day": {"$gte": since, "$lt": until}}},
            {"$group": {"_id": "$day", "views": {"$sum": "$views"}}},
        ]
        rows = self._days.aggregate(pipeline, hint="day_1_views_1")
        return [DayViews(row["_id"].date(), row["views"]) async for row in rows]

    # Ranks

    async def list_published(self, after: str, limit: int) -> list[Ranked]:
        wanted = {"_id": {"$gt": after}, **_PUBLISHED}
        rows = self._listings.find(wanted, {"rating": 1, "ranks": 1}).sort([("_id", 1)]).limit(limit)
        return [_ranked_from(row) for row in await rows.to_list(limit)]

    async def tally(self, listing_ids: Sequence[str], *, now: datetime) -> Mapping[str, Tally]:
        found: dict[str, Tally] = defaultdict(Tally)
        today, since = day_of(now), day_of(now) - timedelta(days=TREND_DAYS - 1)
        some: Document = {"listing_id": {"$in": list(listing_ids)}}
        age = {"$dateDiff": {"startDate": "$created_at", "endDate": today, "unit": "day"}}
        pipeline: list[Document] = [
            {"$match": {**some, "refunded_at": None, **_COUNTS}},
            {"$group": {"_id": {"listing": "$listing_id", "age": age}, "sales": {"$sum": 1}}},
        ]
        async for row in self._purchases.aggregate(pipeline):
            one = found[row["_id"]["listing"]]
            one.sales += row["sales"]
            one.sales_by_age[row["_id"]["age"]] = row["sales"]
        async for row in self._days.find({**some, "day": {"$gte": since}}):
            found[row["listing_id"]].views_by_age[(today - row["day"]).days] = row["views"]
        return found

    async def write_ranks(self, changed: Sequence[tuple[Ranked, Ranks]]) -> None:
        """Only what differs: pages of lists that do not go by it are remembered."""
        writes = [UpdateOne({"_id": one.id}, {"$set": _differing(one.ranks, ranks)}) for one, ranks in changed]
        await self._listings.bulk_write(writes, ordered=False)

    # A seller's

    async def days_of_seller(
        self, seller_id: str, *, since: datetime, until: datetime, by_listing: bool = True
    ) -> list[ListingDay]:
        """What was sold in the days from `since` to before `until`, and separately what was seen."""
        between = {"$gte": since, "$lt": until}
        day = {"$dateTrunc": {"date": "$created_at", "unit": "day"}}
        listing = {"listing": "$listing_id"} if by_listing else {}
        pipeline: list[Document] = [
            {"$match": {"seller_id": seller_id, "created_at": between}},
            {"$group": {"_id": {**listing, "day": day}, **_SOLD}},
        ]
        found = [_day_from(row) async for row in self._purchases.aggregate(pipeline)]
        wanted = {"seller_id": seller_id, "day": between}
        if by_listing:
            seen = self._days.find(wanted)
            return found + [ListingDay(row["listing_id"], row["day"].date(), views=row["views"]) async for row in seen]
        together: list[Document] = [
            {"$match": wanted},
            {"$group": {"_id": {"day": "$day"}, **_SEEN}},
        ]
        return found + [_day_from(row) async for row in self._days.aggregate(together)]

    async def sums_of_seller(
        self, seller_id: str, *, since: datetime, until: datetime
    ) -> tuple[list[ListingDay], list[ListingSold]]:
        """The same of all listings by day, and of all days by listing: sales of one moment, and views of one."""
        between = {"$gte": since, "$lt": until}
        day = {"$dateTrunc": {"date": "$created_at", "unit": "day"}}
        sold: list[Document] = [
            {"$match": {"seller_id": seller_id, "created_at": between}},
            {"$group": {"_id": {"listing": "$listing_id", "day": day}, **_SOLD}},
            _both_ways(_SOLD),
        ]
        seen: list[Document] = [
            {"$match": {"seller_id": seller_id, "day": between}},
            {"$group": {"_id": {"listing": "$listing_id", "day": "$day"}, **_SEEN}},
            _both_ways(_SEEN),
        ]
        days: list[ListingDay] = []
        listings: list[ListingSold] = []
        for rows in (self._purchases.aggregate(sold), self._days.aggregate(seen)):
            (both,) = await rows.to_list(1)
            days += [_day_from(row) for row in both["days"]]
            listings += [ListingSold(row.pop("_id"), **row) for row in both["listings"]]
        return days, listings

    async def titles(self, listing_ids: Sequence[str]) -> dict[str, str]:
        rows = self._listings.find({"_id": {"$in": list(listing_ids)}}, {"title": 1})
        return {row["_id"]: row["title"] for row in await rows.to_list(len(listing_ids))}


def _both_ways(summed: Document) -> Document:
    """Sums of listings and days as sums of days, and of listings."""
    again = {name: {"$sum": f"${name}"} for name in summed}
    return {
        "$facet": {
            "days": [{"$group": {"_id": {"day": "$_id.day"}, **again}}],
            "listings": [{"$group": {"_id": "$_id.listing", **again}}],
        }
    }


def _day_from(row: Document) -> ListingDay:
    key = row.pop("_id")
    return ListingDay(key.get("listing", ""), key["day"].date(), **row)


def _differing(before: Ranks | None, after: Ranks) -> Document:
    if before is None:
        return {"ranks": asdict(after)}
    known = asdict(before)
    return {f"ranks.{name}": value for name, value in asdict(after).items() if value != known[name]}


def _ranked_from(row: Document) -> Ranked:
    rating, ranks = row.get("rating") or {}, row.get("ranks")
    return Ranked(row["_id"], rating.get("count", 0), rating.get("stars", 0), Ranks(**ranks) if ranks else None)
