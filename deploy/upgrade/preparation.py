"""What has to happen to a database of the service before until this one's indexes can be made at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from promptforge.actors.billing.events.store import EVENTS
from promptforge.actors.billing.ledger.opening.domain import MARK
from promptforge.actors.users.store import USERS
from promptforge.core.errors import ConfigurationError
from promptforge.core.mongo import (
    Document,
    Index,
    Mongo,
    Rows,
    Session,
    UpdateOne,
    drop_indexes_in_the_way,
    patient_rows,
    patiently,
)
from promptforge.deploy.upgrade.batches import in_batches

WITHOUT_UID = "users_without_uid"
NAMED = 5
LONGEST_UID = 128
BATCH = 250
_IS_UID: Document = {"$type": "string", "$regex": f"^.{{1,{LONGEST_UID}}}$"}

log = structlog.get_logger(__name__)


async def prepare(mongo: Mongo, declared: Mapping[str, Sequence[Index]]) -> None:
    """Raises `ConfigurationError` where two users have one uid: which of them is the person only people can say."""
    await _refuse_shared_uids(mongo)
    await _set_aside_users_without_uid(mongo)
    await _tell_events_apart(mongo)
    if dropped := await drop_indexes_in_the_way(mongo, declared):
        log.info("upgrade.indexes_dropped", indexes=dropped)


async def _refuse_shared_uids(mongo: Mongo) -> None:
    with patiently():
        shared = await _shared(mongo, USERS, "uid", {"uid": _IS_UID}).to_list(NAMED + 1)
    if not shared:
        return
    named = "; ".join(f"{row['_id']}: {', '.join(str(one) for one in row['ids'][:NAMED])}" for row in shared[:NAMED])
    more = " (and more)" if len(shared) > NAMED else ""
    raise ConfigurationError(
        f"several users have one uid, so nothing was upgraded; uid and _id of them: {named}{more}. Decide which of "
        "them each person is, add up their credits there if they are to keep them, remove the others, start again"
    )


def _shared(mongo: Mongo, collection: str, field: str, wanted: Document) -> Rows:
    """Values that several documents have, with the ids of those."""
    pipeline: list[Document] = [
        {"$match": wanted},
        {"$group": {"_id": f"${field}", "count": {"$sum": 1}, "ids": {"$push": "$_id"}}},
        {"$match": {"count": {"$gt": 1}}},
    ]
    return mongo.collection(collection).aggregate(pipeline, allowDiskUse=True)


async def _set_aside_users_without_uid(mongo: Mongo) -> None:
    """Nobody can sign in as one of them, and two of them would be one to the unique index."""
    users, aside = mongo.collection(USERS), mongo.collection(WITHOUT_UID)
    moved = 0

    async def work(rows: Sequence[Document], session: Session) -> None:
        nonlocal moved
        await users.delete_many({"_id": {"$in": [row["_id"] for row in rows]}}, session=session)
        await aside.insert_many([{**row, MARK: {"reason": "no_uid"}} for row in rows], session=session)
        moved += len(rows)

    await in_batches(mongo, USERS, {"uid": {"$not": _IS_UID}}, work, size=BATCH)
    if moved:
        log.warning("upgrade.users_without_uid", users=moved, kept_in=WITHOUT_UID)


async def _tell_events_apart(mongo: Mongo) -> None:
    """One event id, one document. A second document of an event, and one without an id, get an id of their own."""
    events = mongo.collection(EVENTS)
    renamed = 0

    async def name(rows: Sequence[Document], session: Session) -> None:
        nonlocal renamed
        renamed += len(rows)
        updates = [_named(row["_id"], f"without-id#{row['_id']}") for row in rows]
        await events.bulk_write(updates, session=session)

    await in_batches(mongo, EVENTS, {"event_id": {"$not": {"$type": "string"}}}, name, size=BATCH)
    async for row in patient_rows(_shared(mongo, EVENTS, "event_id", {"event_id": {"$type": "string"}})):
        others = sorted(row["ids"], key=str)[1:]
        await events.bulk_write([_named(one, f"{row['_id']}#{one}") for one in others])
        renamed += len(others)
    if renamed:
        log.warning("upgrade.events_renamed", events=renamed, reason="no event id of their own")


def _named(identifier: Any, event_id: str) -> UpdateOne:  # Any: an `_id` can be of any type
    return UpdateOne({"_id": identifier}, {"$set": {"event_id": event_id}})
