"""The audit log: who did what to what, kept beside the deed and never changed.

An entry is written in the transaction of the action that it tells of, so there is never one without the other. Nothing
here updates or removes entries. So that somebody with the database's password could not do so unseen either, a job
seals them in batches: a checkpoint holds a hash over its batch and over the checkpoint before, and writers wait for
nothing. Entries are sealed once they are `SETTLED` old: by then no transaction that could add an earlier one is open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import bson

from promptforge.core.deeds import Deed, Facts
from promptforge.core.errors import NotFound
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject, kept, marks, nobody

if TYPE_CHECKING:
    from promptforge.core.context import Context

ENTRIES = "audit_log"
CHECKPOINTS = "audit_checkpoints"
_WHOM = "after.user_id"
"""Who is given credits, say; the entry's target is the gift."""
INDEXES: dict[str, tuple[Index, ...]] = {
    ENTRIES: (
        Index((("at", -1), ("_id", -1))),
        Index((("actor.user_id", 1), ("at", -1), ("_id", -1))),
        Index((("target", 1), ("at", -1), ("_id", -1))),
        Index((("action", 1), ("at", -1), ("_id", -1))),
        Index(((_WHOM, 1),), partial={_WHOM: {"$exists": True}}),
    ),
    CHECKPOINTS: (),
}
AUDIT = "the audit log is sealed and holds no texts and no names: for good"
HELD = {
    ENTRIES: Held(
        "What you did that changes rights or moves money, and what was done to you",
        tuple(Subject(path, marks(kept(AUDIT), "before", "after")) for path in ("actor.user_id", "target", _WHOM)),
        plain=frozenset({"actor.*", "action", "target", "request_id", "trace_id"}),
    ),
    CHECKPOINTS: nobody("Seals of the audit log"),
}
SETTLED = timedelta(minutes=5)
BATCH = 1000
BEGINNING = "0" * 64
MOST_CHECKPOINTS = 200
"""In one look: some seconds."""


class ActorKind(StrEnum):
    PERSON = "person"
    API_KEY = "api_key"
    JOB = "job"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class AuditActor:
    """Who acted: a person, one of their API keys, or the service; `job_id` where it was a job."""

    kind: ActorKind
    user_id: str | None
    key_id: str | None
    job_id: str | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A deed, and who did it. `action` names it (`credits.granted`), `target` is the id of what it was done to."""

    id: str
    at: datetime
    actor: AuditActor
    action: str
    target: str
    before: Facts | None
    after: Facts | None
    request_id: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    user_id: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SealReport:
    """Whether the sealed entries are what was sealed; `broken` names the first checkpoint that does not fit.

    `checkpoints` and `entries` are how many of them were looked at, `through` is the last one that fits and `head` its
    hash. Where there are more, `next` is what to go on after; `unsealed` is known only at the end.
    """

    ok: bool
    checkpoints: int
    entries: int
    unsealed: int | None
    broken: int | None
    through: int
    head: str
    next: int | None


class AuditLog:
    def __init__(self, mongo: Mongo) -> None:
        self._entries = mongo.collection(ENTRIES)
        self._checkpoints = mongo.collection(CHECKPOINTS)

    async def record(self, context: Context, session: Session, deed: Deed) -> None:
        """Keep one entry in the action's transaction."""
        await self._entries.insert_one(
            {
                "_id": new_id("aud"),
                "at": context.now(),
                "actor": _actor_of(context),
                "action": deed.action,
                "target": deed.target,
                "before": deed.before,
                "after": deed.after,
                "request_id": context.request_id,
                "trace_id": context.trace_id,
            },
            session=session,
        )

    async def list_page(self, wanted: AuditFilter, cursor: Cursor | None, limit: int) -> Page[AuditEntry]:
        """Newest first."""
        parts: list[Document] = [_filter(wanted)]
        if cursor is not None:
            at = cursor.created_at
            parts.append({"$or": [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": cursor.id}}]})
        rows = self._entries.find({"$and": parts}).sort([("at", -1), ("_id", -1)]).limit(limit + 1)
        found = [{**row, "created_at": row["at"]} for row in await rows.to_list(limit + 1)]
        return page_of(found, limit, _entry_from)

    async def seal(self, now: datetime) -> int:
        """Seal what has settled; answers how many entries. Two processes at once seal each entry once."""
        sealed = 0
        while True:
            last = await self._last()
            rows = await self._following(last, now - SETTLED)
            if not rows:
                return sealed
            checkpoint = {
                "_id": last["_id"] + 1,
                "through_at": rows[-1]["at"],
                "through_id": rows[-1]["_id"],
                "count": len(rows),
                "hash": _hash(last["hash"], rows),
                "sealed_at": now,
            }
            try:
                await self._checkpoints.insert_one(checkpoint)
            except DuplicateKey:  # another process has sealed these
                continue
            sealed += len(rows)

    async def verify(self, *, after: int = 0, most: int = MOST_CHECKPOINTS) -> SealReport:
        """Hash what `most` checkpoints after that one sealed, and compare. Raises `NotFound` where there is no such."""
        before = await self._checkpoints.find_one({"_id": after}) if after else _NOTHING
        if before is None:
            raise NotFound("There is no such checkpoint")
        seen = entries = 0
        found = await self._checkpoints.find({"_id": {"$gt": after}}).sort([("_id", 1)]).limit(most + 1).to_list(None)
        for checkpoint in found[:most]:
            rows = await self._between(before, checkpoint)
            whole = checkpoint["_id"] == before["_id"] + 1 and len(rows) == checkpoint["count"]
            if not whole or _hash(before["hash"], rows) != checkpoint["hash"]:
                broken: int = checkpoint["_id"]
                return SealReport(False, seen, entries, None, broken, before["_id"], before["hash"], None)
            entries += len(rows)
            seen += 1
            before = checkpoint
        if len(found) > most:
            return SealReport(True, seen, entries, None, None, before["_id"], before["hash"], before["_id"])
        unsealed = await self._entries.count_documents(_after(before))
        return SealReport(True, seen, entries, unsealed, None, before["_id"], before["hash"], None)

    async def _last(self) -> Document:
        return await self._checkpoints.find_one({}, sort=[("_id", -1)]) or _NOTHING

    async def _following(self, checkpoint: Document, until: datetime) -> list[Document]:
        wanted = {"$and": [_after(checkpoint), {"at": {"$lte": until}}]}
        return await self._entries.find(wanted).sort([("at", 1), ("_id", 1)]).limit(BATCH).to_list(BATCH)

    async def _between(self, before: Document, checkpoint: Document) -> list[Document]:
        at, identifier = checkpoint["through_at"], checkpoint["through_id"]
        upto = {"$or": [{"at": {"$lt": at}}, {"at": at, "_id": {"$lte": identifier}}]}
        rows = self._entries.find({"$and": [_after(before), upto]}).sort([("at", 1), ("_id", 1)])
        return await rows.limit(BATCH + 1).to_list(BATCH + 1)


_NOTHING: Document = {"_id": 0, "hash": BEGINNING}


def _after(checkpoint: Document) -> Document:
    if checkpoint["_id"] == 0:
        return {}
    at, identifier = checkpoint["through_at"], checkpoint["through_id"]
    return {"$or": [{"at": {"$gt": at}}, {"at": at, "_id": {"$gt": identifier}}]}


def _hash(before: str, rows: Sequence[Document]) -> str:
    digest = hashlib.sha256(before.encode())
    for row in rows:
        digest.update(bson.encode(row))
    return digest.hexdigest()


def _actor_of(context: Context) -> dict[str, Any]:
    principal = context.principal
    if principal is not None:
        kind = ActorKind.API_KEY if principal.key_id else ActorKind.PERSON
    else:
        kind = ActorKind.JOB if context.job is not None else ActorKind.SYSTEM
    return {
        "kind": kind.value,
        "user_id": principal.user_id if principal is not None else None,
        "key_id": principal.key_id if principal is not None else None,
        "job_id": context.job.job_id if context.job is not None else None,
    }


def _filter(wanted: AuditFilter) -> Document:
    filters: Document = {}
    if wanted.user_id is not None:
        filters["actor.user_id"] = wanted.user_id
    if wanted.action is not None:
        filters["action"] = wanted.action
    if wanted.target is not None:
        filters["target"] = wanted.target
    moments = {"$gte": wanted.since, "$lt": wanted.until}
    if any(moments.values()):
        filters["at"] = {operator: moment for operator, moment in moments.items() if moment is not None}
    return filters


def _entry_from(row: Document) -> AuditEntry:
    return AuditEntry(
        id=row["_id"],
        at=row["at"],
        actor=AuditActor(**{**row["actor"], "kind": ActorKind(row["actor"]["kind"])}),
        action=row["action"],
        target=row["target"],
        before=row["before"],
        after=row["after"],
        request_id=row["request_id"],
        trace_id=row["trace_id"],
    )
