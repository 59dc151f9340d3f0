"""Every query on `event_rollups`, and what adds events up.

Batches that wait (`event_batches`) are taken in a transaction that reads their events, increases the sums and removes
the batches: who takes one of them at the same moment conflicts and finds it gone. A batch that was never closed may
still get events, for its process may only be asleep. So its events that were counted are moved to another batch's name
in the same transaction, and it is looked at again later.

The coarse sums are increased in the same transaction, by what it has added to the sums by kind, so one of a month is
the sum of its days, whatever is late or done again; `rebuild` makes those of one month anew from its days.

One transaction takes so many batches as have a bounded number of sums, and one at least: events of many days that are
told of at once have a sum for each day, and a transaction must not last for a minute.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial

import anyio

from promptforge.actors.analytics.events.store import BATCHES, EVENTS
from promptforge.actors.analytics.rollups.domain import (
    ALL_KINDS,
    COARSE,
    DAY_BYTES,
    MOST,
    OTHER,
    Cells,
    Key,
    Label,
    Level,
    Overview,
    StretchSum,
    add,
    coarse,
    day_key,
    month_after,
    month_of,
    spans_of_kinds,
    sum_key,
)
from promptforge.core.errors import Invalid
from promptforge.core.mongo import Document, Index, Mongo, Session, UpdateOne, read_snapshot
from promptforge.core.personal import Held, Subject

ROLLUPS = "event_rollups"
INDEXES: dict[str, tuple[Index, ...]] = {ROLLUPS: ()}
HELD = {
    ROLLUPS: Held("Sums of your events", (Subject("owner", deleted=True, keyed=True),), plain=frozenset({"*"})),
}

MOST_AT_ONCE = 5_000
"""Sums in one transaction, beside those of its last batch and the coarse ones, which are no more than these."""
DAYS_AT_ONCE = 100
LOOKS = 3
LOOK_AGAIN_AFTER = timedelta(hours=1)
MOST_SUMS = 20_000
"""What one question may read, of days or of hours."""
READ_TOGETHER = 1_000
"""Documents in one answer of the server, which is taken apart in one go."""
COUNTED = "counted:"
"""Before the name of a batch that was counted while it was open."""


class EventRollups:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._events = mongo.collection(EVENTS)
        self._batches = mongo.collection(BATCHES)
        self._rollups = mongo.collection(ROLLUPS)

    # Adding up

    async def list_due(self, now: datetime, limit: int) -> list[str]:
        """Batches that wait, the oldest first."""
        rows = self._batches.find({"due_at": {"$lte": now}}, {"_id": 1}).sort([("due_at", 1)]).limit(limit)
        return [row["_id"] for row in await rows.to_list(limit)]

    async def fold(self, ids: Sequence[str], *, now: datetime, session: Session | None) -> int:
        """Add up those of the batches that still wait, or the first of them, in a transaction; answers the events."""
        wanted: Document = {"_id": {"$in": list(ids)}, "due_at": {"$lte": now}}
        waiting = await self._batches.find(wanted, session=session).sort([("due_at", 1)]).to_list(len(ids))
        cells: Cells = defaultdict(dict)
        batches, events = [], 0
        for batch in waiting:
            if len(cells) >= MOST_AT_ONCE:
                break
            events += await self._add_up(batch["_id"], cells, session)
            batches.append(batch)
        if cells:
            bounded = await self._bounded(cells, session)
            bounded |= await self._bounded(await anyio.to_thread.run_sync(coarse, bounded), session)
            await self._rollups.bulk_write(await anyio.to_thread.run_sync(_increases, bounded), session=session)
        over = [batch["_id"] for batch in batches if not batch["open"] or batch["looks"] + 1 >= LOOKS]
        for batch in batches:
            if batch["open"]:
                moved = {"$set": {"batch": COUNTED + batch["_id"]}}
                await self._events.update_many({"batch": batch["_id"]}, moved, session=session)
                later = {"$set": {"due_at": now + LOOK_AGAIN_AFTER}, "$inc": {"looks": 1}}
                await self._batches.update_one({"_id": batch["_id"]}, later, session=session)
        await self._batches.delete_many({"_id": {"$in": over}}, session=session)
        return events

    async def _add_up(self, batch: str, cells: Cells, session: Session | None) -> int:
        """Add its events to the cells; answers how many."""
        hour = {"$dateTrunc": {"date": "$at", "unit": "hour"}}
        names = ("owner", "kind", "prompt_id", "prompt_version", "variant")
        group: Document = {
            "_id": {"hour": hour, **{name: f"${name}" for name in names}},
            "events": {"$sum": 1},
            "value": {"$sum": "$value"},
        }
        pipeline: list[Document] = [{"$match": {"batch": batch}}, {"$group": group}]
        number = 0
        async for row in self._events.aggregate(pipeline, session=session):
            key = row["_id"]
            hour_of: datetime = key["hour"]
            label = Label(key["kind"], key.get("prompt_id"), key.get("prompt_version"), key.get("variant"))
            day = hour_of.replace(hour=0)
            number += row["events"]
            for level, shown in ((Level.KIND, Label(label.kind)), (Level.DETAIL, label)):
                add(cells[key["owner"], level, day, shown], hour_of.hour, row["events"], row["value"])
        return number

    async def _bounded(self, cells: Cells, session: Session | None) -> Cells:
        """The same with what is too much for a day or a month under `OTHER`."""
        ids = await anyio.to_thread.run_sync(_bounded_ids, cells)
        rows = self._rollups.find({"_id": {"$in": list(ids)}}, {"_id": 1}, session=session)
        known = {row["_id"] for row in await rows.to_list(len(ids))}
        new: dict[tuple[str, Level, datetime], list[Key]] = defaultdict(list)
        for identifier, key in ids.items():
            if identifier not in known:
                new[key[:3]].append(key)
        bounded: Cells = defaultdict(dict, cells)
        there = await self._count([day_key(*day) for day in new], session)
        for (owner, level, day), keys in new.items():
            free = MOST[level] - there[day_key(owner, level, day)]
            for key in keys[max(0, free) :]:
                for hour, (events, value) in bounded.pop(key).items():
                    add(bounded[owner, level, day, Label(OTHER)], hour, events, value)
        return bounded

    async def _count(self, days: Sequence[str], session: Session | None) -> Counter[str]:
        """How many sums there are, by the keys of days and months."""
        day = {"$substrBytes": ["$_id", 0, {"$add": [{"$indexOfBytes": ["$_id", ":"]}, DAY_BYTES]}]}
        counted: Counter[str] = Counter()
        for begin in range(0, len(days), DAYS_AT_ONCE):
            ranges = [{"_id": {"$gt": f"{one}:", "$lt": f"{one};"}} for one in days[begin : begin + DAYS_AT_ONCE]]
            pipeline: list[Document] = [
                {"$match": {"$or": ranges}},
                {"$group": {"_id": day, "sums": {"$sum": 1}}},
            ]
            async for row in self._rollups.aggregate(pipeline, session=session):
                counted[row["_id"]] = row["sums"]
        return counted

    # Reading

    async def list_sums(
        self,
        owner: str,
        level: Level,
        start: datetime,
        end: datetime,
        *,
        by_hour: bool = False,
        only: Sequence[tuple[str, Sequence[str | int]]] = (),
    ) -> list[StretchSum]:
        """The sums of the days, or of the hours, from `start` until before `end`; of `only` labels with such values.

        Raises `Invalid` for too many, whichever are wanted of them: the server looks at all. An hour is a sum too.
        """
        wanted = _between(owner, level, start, end)
        if only:
            if await self._rollups.count_documents(wanted, limit=MOST_SUMS + 1) > MOST_SUMS:
                raise _too_many()
            wanted = {"$and": [wanted, *({name: {"$in": list(values)}} for name, values in only)]}
        rows = self._rollups.find(wanted, None if by_hour else {"hours": 0})
        found, number = list[Document](), 0
        async with aclosing(aiter(rows.batch_size(READ_TOGETHER // 4 if by_hour else READ_TOGETHER))) as read:
            async for row in read:
                found.append(row)
                number += len(row["hours"]) if by_hour else 1
                if number > MOST_SUMS:
                    raise _too_many()
        sums = partial(_hours_between, found, start, end) if by_hour else partial(_days_from, found)
        return await anyio.to_thread.run_sync(sums)  # others are served meanwhile

    async def list_days(
        self, owner: str, start: datetime, end: datetime, *, session: Session | None = None
    ) -> list[StretchSum]:
        """The days from `start` until before `end` that had any events, all kinds together; at most some 400."""
        rows = await self._rollups.find(_between(owner, Level.DAY, start, end), {"hours": 0}, session=session).to_list(
            None
        )
        return [StretchSum(row["day"], ALL_KINDS, row["events"], row["value"]) for row in rows]

    async def overview(self, owner: str, start: datetime, end: datetime, *, kinds: int) -> Overview:
        """Of the days from `start` until before `end`, of which there may be 200 kinds each: whole months are read."""
        spans = [_between(owner, span.level, span.start, span.end) for span in spans_of_kinds(start, end)]
        both: Document = {"events": {"$sum": "$events"}, "value": {"$sum": "$value"}}
        most: list[Document] = [
            {"$match": {"$or": spans}},
            {"$group": {"_id": "$kind", **both}},
            {"$sort": {"events": -1, "_id": 1}},
            {"$limit": kinds},
        ]

        async def read(session: Session) -> tuple[list[StretchSum], list[Document]]:
            days = await self.list_days(owner, start, end, session=session)
            return days, await self._rollups.aggregate(most, session=session).to_list(kinds)

        days, found = await read_snapshot(self._mongo, read)
        of_kinds = (StretchSum(start, Label(row["_id"]), row["events"], row["value"]) for row in found)
        return Overview(tuple(days), tuple(of_kinds))

    # Making coarse sums anew

    async def next_month(self, after: tuple[str, datetime] | None) -> tuple[str, datetime] | None:
        """Whose month with sums by kind comes after this one's; None: there are no more."""
        beyond = "" if after is None else day_key(after[0], Level.KIND, month_after(after[1]))
        while row := await self._rollups.find_one({"_id": {"$gt": beyond}}, {"owner": 1, "day": 1}, sort=[("_id", 1)]):
            owner = row["_id"].partition(":")[0]
            first, last = f"{owner}:{Level.KIND}:", f"{owner}:{Level.KIND};"
            if first < row["_id"] < last:
                return owner, month_of(row["day"])
            beyond = first if row["_id"] < first else f"{owner};"
        return None

    async def rebuild(self, owner: str, month: datetime, *, session: Session) -> None:
        """Make the coarse sums of an owner's month from its days, in a transaction: who adds to them conflicts."""
        end = month_after(month)
        fine: Cells = {}
        async for row in self._rollups.find(_between(owner, Level.KIND, month, end), session=session):
            hours = {int(hour): (one["events"], one["value"]) for hour, one in row["hours"].items()}
            fine[owner, Level.KIND, row["day"], Label(row["kind"])] = hours
        for level in COARSE:
            await self._rollups.delete_many(_between(owner, level, month, end), session=session)
        if cells := await self._bounded(coarse(fine), session):
            await self._rollups.bulk_write(_increases(cells), session=session)

    async def forget(self, owner: str) -> None:
        await self._rollups.delete_between(f"{owner}:", f"{owner};")


def _between(owner: str, level: Level, start: datetime, end: datetime) -> Document:
    first, last = day_key(owner, level, start), day_key(owner, level, end - timedelta(microseconds=1))
    return {"_id": {"$gt": f"{first}:", "$lt": f"{last};"}}


def _too_many() -> Invalid:
    return Invalid("That is more than can be added up at once: ask for a shorter time")


def _bounded_ids(cells: Cells) -> dict[str, Key]:
    """Of sums of which there may be too many; like `_increases`, not on the event loop: there may be thousands."""
    return {sum_key(*key): key for key in cells if key[1] in MOST}


def _increases(cells: Cells) -> list[UpdateOne]:
    return [_increase(*item) for item in cells.items()]


def _increase(key: Key, hours: Mapping[int, tuple[int, float]]) -> UpdateOne:
    owner, level, day, label = key
    whole = hours.values()
    increase: Document = {
        "events": sum(events for events, _ in whole),
        "value": float(sum(value for _, value in whole)),
    }
    for hour, (events, value) in () if level is Level.MONTH else hours.items():
        increase[f"hours.{hour}.events"] = events
        increase[f"hours.{hour}.value"] = float(value)
    kept: Document = {"owner": owner, "day": day, "kind": label.kind}
    for name in ("prompt_id", "prompt_version", "variant"):
        if (told := getattr(label, name)) is not None:
            kept[name] = told
    return UpdateOne({"_id": sum_key(*key)}, {"$inc": increase, "$setOnInsert": kept}, upsert=True)


def _label_from(row: Document) -> Label:
    return Label(row["kind"], row.get("prompt_id"), row.get("prompt_version"), row.get("variant"))


def _days_from(rows: Iterable[Document]) -> list[StretchSum]:
    return [StretchSum(row["day"], _label_from(row), row["events"], row["value"]) for row in rows]


def _hours_between(rows: Iterable[Document], start: datetime, end: datetime) -> list[StretchSum]:
    return [one for row in rows for one in _hours_from(row) if start <= one.start < end]


def _hours_from(row: Document) -> Iterable[StretchSum]:
    label = _label_from(row)
    for hour, sums in row["hours"].items():
        yield StretchSum(row["day"] + timedelta(hours=int(hour)), label, sums["events"], sums["value"])
