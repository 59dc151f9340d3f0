"""Every query on `event_rollups`, and what adds events up.

Batches that wait (`event_batches`) are taken in a transaction that reads their events, increases the sums and removes
the batches: who takes one of them at the same moment conflicts and finds it gone. A batch that was never closed may
still get events, for its process may only be asleep. So its events that were counted are moved to another batch's name
in the same transaction, and it is looked at again later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from promptforge.actors.analytics.events.store import BATCHES, EVENTS
from promptforge.actors.analytics.rollups.domain import (
    ALL_KINDS,
    MOST_A_DAY,
    OTHER,
    Label,
    Level,
    Overview,
    StretchSum,
    day_key,
    sum_key,
)
from promptforge.core.errors import Invalid
from promptforge.core.mongo import Document, Index, Mongo, Session, UpdateOne
from promptforge.core.personal import Held, Subject

ROLLUPS = "event_rollups"
INDEXES: dict[str, tuple[Index, ...]] = {ROLLUPS: ()}
HELD = {
    ROLLUPS: Held("Sums of your events", (Subject("owner", deleted=True, keyed=True),), plain=frozenset({"*"})),
}

LOOKS = 3
LOOK_AGAIN_AFTER = timedelta(hours=1)
MOST_SUMS = 20_000
"""What one question may read."""
COUNTED = "counted:"
"""Before the name of a batch that was counted while it was open."""

Cells = dict[tuple[str, Level, datetime, Label], dict[int, tuple[int, float]]]
"""By owner, level, day and label: hour → events and value."""


class EventRollups:
    def __init__(self, mongo: Mongo) -> None:
        self._events = mongo.collection(EVENTS)
        self._batches = mongo.collection(BATCHES)
        self._rollups = mongo.collection(ROLLUPS)

    # Adding up

    async def list_due(self, now: datetime, limit: int) -> list[str]:
        """Batches that wait, the oldest first."""
        rows = self._batches.find({"due_at": {"$lte": now}}, {"_id": 1}).sort([("due_at", 1)]).limit(limit)
        return [row["_id"] for row in await rows.to_list(limit)]

    async def fold(self, ids: Sequence[str], *, now: datetime, session: Session | None) -> int:
        """Add up those of the batches that still wait, in a transaction; answers how many events."""
        wanted: Document = {"_id": {"$in": list(ids)}, "due_at": {"$lte": now}}
        batches = await self._batches.find(wanted, session=session).to_list(len(ids))
        if not batches:
            return 0
        cells, events = await self._added_up([batch["_id"] for batch in batches], session)
        if cells:
            bounded = await self._bounded(cells, session)
            await self._rollups.bulk_write([_increase(*item) for item in bounded.items()], session=session)
        over = [batch["_id"] for batch in batches if not batch["open"] or batch["looks"] + 1 >= LOOKS]
        for batch in batches:
            if batch["open"]:
                moved = {"$set": {"batch": COUNTED + batch["_id"]}}
                await self._events.update_many({"batch": batch["_id"]}, moved, session=session)
                later = {"$set": {"due_at": now + LOOK_AGAIN_AFTER}, "$inc": {"looks": 1}}
                await self._batches.update_one({"_id": batch["_id"]}, later, session=session)
        await self._batches.delete_many({"_id": {"$in": over}}, session=session)
        return events

    async def _added_up(self, batches: Sequence[str], session: Session | None) -> tuple[Cells, int]:
        hour = {"$dateTrunc": {"date": "$at", "unit": "hour"}}
        names = ("owner", "kind", "prompt_id", "prompt_version", "variant")
        group: Document = {
            "_id": {"hour": hour, **{name: f"${name}" for name in names}},
            "events": {"$sum": 1},
            "value": {"$sum": "$value"},
        }
        pipeline: list[Document] = [{"$match": {"batch": {"$in": list(batches)}}}, {"$group": group}]
        cells: Cells = defaultdict(dict)
        number = 0
        async for row in self._events.aggregate(pipeline, session=session):
            key = row["_id"]
            hour_of: datetime = key["hour"]
            label = Label(key["kind"], key.get("prompt_id"), key.get("prompt_version"), key.get("variant"))
            day = hour_of.replace(hour=0)
            number += row["events"]
            for level, shown in ((Level.KIND, Label(label.kind)), (Level.DETAIL, label)):
                _add(cells[key["owner"], level, day, shown], hour_of.hour, row["events"], row["value"])
        return cells, number

    async def _bounded(self, cells: Cells, session: Session | None) -> Cells:
        """The same with what is too much for a day under `OTHER`."""
        ids = {sum_key(*key): key for key in cells}
        rows = self._rollups.find({"_id": {"$in": list(ids)}}, {"_id": 1}, session=session)
        known = {row["_id"] for row in await rows.to_list(len(ids))}
        new: dict[tuple[str, Level, datetime], list[tuple[str, Level, datetime, Label]]] = defaultdict(list)
        for identifier, key in ids.items():
            if identifier not in known:
                new[key[:3]].append(key)
        bounded: Cells = defaultdict(dict, cells)
        for (owner, level, day), keys in new.items():
            start = day_key(owner, level, day)
            most = MOST_A_DAY[level]
            there = await self._rollups.count_documents(
                {"_id": {"$gt": f"{start}:", "$lt": f"{start};"}}, limit=most, session=session
            )
            for key in keys[max(0, most - there) :]:
                for hour, (events, value) in bounded.pop(key).items():
                    _add(bounded[owner, level, day, Label(OTHER)], hour, events, value)
        return bounded

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

        Raises `Invalid` for too many, whichever are wanted of them: the server looks at all.
        """
        wanted = _between(owner, level, start, end)
        if only:
            if await self._rollups.count_documents(wanted, limit=MOST_SUMS + 1) > MOST_SUMS:
                raise _too_many()
            wanted = {"$and": [wanted, *({name: {"$in": list(values)}} for name, values in only)]}
        rows = self._rollups.find(wanted, None if by_hour else {"hours": 0}).limit(MOST_SUMS + 1)
        found = await rows.to_list(MOST_SUMS + 1)
        if len(found) > MOST_SUMS:
            raise _too_many()
        if not by_hour:
            return [StretchSum(row["day"], _label_from(row), row["events"], row["value"]) for row in found]
        return [one for row in found for one in _hours_from(row) if start <= one.start < end]

    async def overview(self, owner: str, start: datetime, end: datetime, *, kinds: int) -> Overview:
        """Of the days from `start` until before `end`, added up by the server: there may be 200 sums a day."""
        both: Document = {"events": {"$sum": "$events"}, "value": {"$sum": "$value"}}
        facets: Document = {
            "days": [{"$group": {"_id": "$day", **both}}, {"$sort": {"_id": 1}}],
            "kinds": [{"$group": {"_id": "$kind", **both}}, {"$sort": {"events": -1, "_id": 1}}, {"$limit": kinds}],
        }
        shown = {"_id": 0, "day": 1, "kind": 1, "events": 1, "value": 1}
        pipeline: list[Document] = [
            {"$match": _between(owner, Level.KIND, start, end)},
            {"$project": shown},
            {"$facet": facets},
        ]
        (found,) = await self._rollups.aggregate(pipeline).to_list(1)
        return Overview(
            tuple(StretchSum(row["_id"], ALL_KINDS, row["events"], row["value"]) for row in found["days"]),
            tuple(StretchSum(start, Label(row["_id"]), row["events"], row["value"]) for row in found["kinds"]),
        )

    async def forget(self, owner: str) -> None:
        await self._rollups.delete_many({"_id": {"$gt": f"{owner}:", "$lt": f"{owner};"}})


def _between(owner: str, level: Level, start: datetime, end: datetime) -> Document:
    first, last = day_key(owner, level, start), day_key(owner, level, end - timedelta(microseconds=1))
    return {"_id": {"$gt": f"{first}:", "$lt": f"{last};"}}


def _too_many() -> Invalid:
    return Invalid("That is more than can be added up at once: ask for a shorter time")


def _add(hours: dict[int, tuple[int, float]], hour: int, events: int, value: float) -> None:
    before = hours.get(hour, (0, 0.0))
    hours[hour] = (before[0] + events, before[1] + value)


def _increase(key: tuple[str, Level, datetime, Label], hours: Mapping[int, tuple[int, float]]) -> UpdateOne:
    owner, _, day, label = key
    whole = hours.values()
    increase: Document = {
        "events": sum(events for events, _ in whole),
        "value": float(sum(value for _, value in whole)),
    }
    for hour, (events, value) in hours.items():
        increase[f"hours.{hour}.events"] = events
        increase[f"hours.{hour}.value"] = float(value)
    kept: Document = {"owner": owner, "day": day, "kind": label.kind}
    for name in ("prompt_id", "prompt_version", "variant"):
        if (told := getattr(label, name)) is not None:
            kept[name] = told
    return UpdateOne({"_id": sum_key(*key)}, {"$inc": increase, "$setOnInsert": kept}, upsert=True)


def _label_from(row: Document) -> Label:
    return Label(row["kind"], row.get("prompt_id"), row.get("prompt_version"), row.get("variant"))


def _hours_from(row: Document) -> Iterable[StretchSum]:
    label = _label_from(row)
    for hour, sums in row["hours"].items():
        yield StretchSum(row["day"] + timedelta(hours=int(hour)), label, sums["events"], sums["value"])
