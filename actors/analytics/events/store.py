"""Every query on `events` and `event_batches`.

An event's `_id` is its owner and the owner's id of it, so that it is there once. It names the batch that it was written
with. The batch's document is written before its events and closed after them: it says that they are still to be added
up. One that nobody closed, because its process died, is looked at later all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import orjson

from promptforge.actors.analytics.events.domain import OLDEST
from promptforge.actors.analytics.events.messages import NewEvent, StoredEvent
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo
from promptforge.core.pages import Scan
from promptforge.core.personal import Held, Subject, nobody

EVENTS = "events"
BATCHES = "event_batches"
INDEXES: dict[str, tuple[Index, ...]] = {
    EVENTS: (Index((("batch", 1),)), Index((("expire_at", 1),), ttl_seconds=0)),
    BATCHES: (Index((("due_at", 1),)),),
}
HELD = {
    EVENTS: Held(
        "Events that your programs told of",
        (Subject("owner", deleted=True, keyed=True),),
        plain=frozenset({"_id", "kind", "batch", "prompt_id", "variant", "properties"}),
    ),
    BATCHES: nobody("Which events are still to be added up"),
}
LONGEST_WRITE = timedelta(minutes=5)
"""After which a batch is looked at that nobody has closed."""


class EventStore:
    def __init__(self, mongo: Mongo) -> None:
        self._events = mongo.collection(EVENTS)
        self._batches = mongo.collection(BATCHES)

    async def insert(self, rows: Sequence[Document], *, now: datetime) -> frozenset[int]:
        """Write a batch; answers which of the rows were there before. Rows get their batch here."""
        batch = new_id("bch")
        await self._batches.insert_one({"_id": batch, "open": True, "due_at": now + LONGEST_WRITE, "looks": 0})
        for row in rows:
            row["batch"] = batch
        refused = await self._events.insert_new(rows)
        if len(refused) == len(rows):
            await self._batches.delete_one({"_id": batch})
        else:  # an upsert: whoever slept for longer than `LONGEST_WRITE` may find it looked at and gone
            closed = {"open": False, "due_at": now, "looks": 0}
            await self._batches.update_one({"_id": batch}, {"$set": closed}, upsert=True)
        return refused

    async def scan(self, owner: str, after: str | None, limit: int) -> Scan[StoredEvent]:
        wanted = {"_id": {"$gt": f"{owner}:{after or ''}", "$lt": f"{owner};"}}  # ";" comes after ":"
        total = await self._events.count_documents(wanted) if after is None else None
        rows = await self._events.find(wanted).sort([("_id", 1)]).limit(limit).to_list(limit)
        found = tuple(_stored_from(row) for row in rows)
        return Scan(found, found[-1].external_id if len(found) == limit else None, total)

    async def forget(self, owner: str) -> int:
        return await self._events.delete_between(f"{owner}:", f"{owner};")


def event_row(owner: str, event: NewEvent, *, now: datetime) -> Document:
    """As it is stored, but for its batch."""
    row: Document = {
        "_id": f"{owner}:{event.external_id}",
        "owner": owner,
        "kind": event.kind,
        "at": event.at,
        "received_at": now,
        "expire_at": now + OLDEST,
    }
    for name in ("value", "prompt_id", "prompt_version", "variant"):
        if (told := getattr(event, name)) is not None:
            row[name] = told
    if event.properties:
        row["properties"] = event.properties
    return row


def _stored_from(row: Document) -> StoredEvent:
    return StoredEvent(
        external_id=row["_id"].partition(":")[2],
        kind=row["kind"],
        at=row["at"],
        value=row.get("value"),
        prompt_id=row.get("prompt_id"),
        prompt_version=row.get("prompt_version"),
        variant=row.get("variant"),
        properties=orjson.dumps(row.get("properties", {})).decode(),
        received_at=row["received_at"],
    )
