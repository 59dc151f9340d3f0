"""Every query on `market_days`, `market_buyers` and the mark up to which the ledger is added up.

The mark moves in the transaction that adds what lies between: two who add up the same journals conflict on it, and the
second finds it moved.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from promptforge.actors.analytics.market.domain import COUNTED, Buyers, DaySum, Span
from promptforge.core.mongo import Document, Index, Mongo, Session, UpdateOne, read_snapshot
from promptforge.core.personal import nobody

DAYS = "market_days"
BUYERS = "market_buyers"
MARKS = "market_mark"
"""One document."""
INDEXES: dict[str, tuple[Index, ...]] = {DAYS: (), BUYERS: (Index((("buyer_id", 1), ("day", 1))),), MARKS: ()}
HELD = {
    DAYS: nobody("What was sold each day, added up"),
    BUYERS: nobody("Which internal ids bought something on which days"),
    MARKS: nobody("Until when that is added up"),
}
_MARK = "ledger"


@dataclass(frozen=True, slots=True)
class Folded:
    """What is added up, and how far, at one moment; and what has come since.

    `known`: on which days those who have bought since bought before, as far as that is added up.
    """

    mark: str | None
    days: dict[date, DaySum]
    buyers: Buyers
    recent: dict[date, DaySum]
    known: dict[str, set[date]]


class MarketStore:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._days = mongo.collection(DAYS)
        self._buyers = mongo.collection(BUYERS)
        self._marks = mongo.collection(MARKS)

    async def get_mark(self, *, session: Session | None = None) -> str | None:
        row = await self._marks.find_one({"_id": _MARK}, session=session)
        return None if row is None else row["after"]

    async def first_day(self) -> date | None:
        """The earliest that is added up."""
        row = await self._days.find_one({}, {"_id": 1}, sort=[("_id", 1)])
        return None if row is None else date.fromisoformat(row["_id"])

    async def add(
        self, days: Mapping[date, DaySum], *, mark: str | None, following: str, session: Session | None
    ) -> bool:
        """Add the journals after `mark`, up to `following`; only in a transaction. False where the mark has moved."""
        if await self.get_mark(session=session) != mark:
            return False
        await self._marks.update_one({"_id": _MARK}, {"$set": {"after": following}}, upsert=True, session=session)
        writes = [
            UpdateOne({"_id": f"{day}"}, {"$inc": {name: one.counts[name] for name in COUNTED}}, upsert=True)
            for day, one in days.items()
        ]
        if writes:
            await self._days.bulk_write(writes, session=session)
        buyers = [
            UpdateOne({"_id": f"{day}:{buyer}"}, {"$setOnInsert": {"day": _start(day), "buyer_id": buyer}}, upsert=True)
            for day, one in days.items()
            for buyer in one.buyers
        ]
        if buyers:
            await self._buyers.bulk_write(buyers, session=session)
        return True

    async def read(self, span: Span, since: Callable[[str | None], Awaitable[dict[date, DaySum]]]) -> Folded:
        """`since`: what came after a mark, as of now; it may be asked several times.

        All that is added up is of one moment, also what is looked for once it is known who has bought since: of a
        buyer whose journals are added up meanwhile the days would be known, and not be in the sums.
        """

        async def work(session: Session) -> Folded:
            mark = await self.get_mark(session=session)
            wanted = {"_id": {"$gte": f"{span.since}", "$lt": f"{span.until}"}}
            rows = await self._days.find(wanted, session=session).to_list(None)
            days = {date.fromisoformat(row["_id"]): _sum_from(row) for row in rows}
            buyers, recent = await self._count_buyers(span, session), await since(mark)
            known = {one: set[date]() for day in recent.values() for one in day.buyers}
            theirs: Document = {"buyer_id": {"$in": sorted(known)}, "day": _times(span)}
            async for row in self._buyers.find(theirs, {"buyer_id": 1, "day": 1}, session=session):
                known[row["buyer_id"]].add(row["day"].date())
            return Folded(mark, days, buyers, recent, known)

        return await read_snapshot(self._mongo, work)

    async def _count_buyers(self, span: Span, session: Session) -> Buyers:
        recent = {"$gte": ["$day", _start(span.since)]}
        own: Document = {
            "_id": "$buyer_id",
            "now": {"$max": {"$cond": [recent, 1, 0]}},
            "before": {"$max": {"$cond": [recent, 0, 1]}},
        }
        whole: Document = {
            "_id": None,
            "now": {"$sum": "$now"},
            "before": {"$sum": "$before"},
            "both": {"$sum": {"$multiply": ["$now", "$before"]}},
        }
        pipeline: list[Document] = [{"$match": _between(span.earlier, span.until)}, {"$group": own}, {"$group": whole}]
        found = await self._buyers.aggregate(pipeline, session=session).to_list(1)
        daily: list[Document] = [
            {"$match": _between(span.since, span.until)},
            {"$group": {"_id": "$day", "buyers": {"$sum": 1}}},
        ]
        by_day = {row["_id"].date(): row["buyers"] async for row in self._buyers.aggregate(daily, session=session)}
        total = found[0] if found else {"now": 0, "before": 0, "both": 0}
        return Buyers(total["now"], total["before"], total["both"], by_day)


def _between(since: date, until: date) -> Document:
    return {"_id": {"$gte": f"{since}", "$lt": f"{until}"}}


def _times(span: Span) -> Document:
    """This time and the one before it."""
    return {"$gte": _start(span.earlier), "$lt": _start(span.until)}


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _sum_from(row: Document) -> DaySum:
    return DaySum(counts={name: row.get(name, 0) for name in COUNTED})
