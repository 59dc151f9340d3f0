"""Every query on `exports` and `analytics_jobs`.

An attempt at writing an export is fenced by its `writer`: who was taken for dead, or cancelled, writes nothing into it
any more. The ids of all files that attempts have begun are kept until what they left is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from promptforge.actors.analytics.exports.messages import (
    ExportFailure,
    ExportFormat,
    ExportSource,
    ExportState,
    ExportView,
)
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session, StoredFile
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject, nobody

EXPORTS = "exports"
ANALYTICS_JOBS = "analytics_jobs"
TURNS = "export_turns"
INDEXES: dict[str, tuple[Index, ...]] = {
    EXPORTS: (
        Index((("user_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("sweep_at", 1),)),
        Index((("purge_at", 1),), ttl_seconds=0),
    ),
    ANALYTICS_JOBS: (Index((("user_id", 1), ("created_at", 1))), Index((("purge_at", 1),), ttl_seconds=0)),
    TURNS: (),
}
HELD = {
    EXPORTS: Held(
        "Exports that you asked for",
        (Subject("user_id", deleted=True),),
        plain=frozenset({"source", "format", "state", "job_id", "file_id", "file_ids", "writer", "sha256", "failure"}),
    ),
    ANALYTICS_JOBS: Held("The work of your exports", (Subject("user_id", deleted=True),), plain=frozenset({"*"})),
    TURNS: nobody("How many exports each internal id has asked for"),
}
MOST_KEPT, MOST_KEPT_BYTES = 100, 8 * 1024**3
"""Of one user, besides those under way: who asks on and on would fill the disk."""
UNDER_WAY = [ExportState.QUEUED.value, ExportState.RUNNING.value]
PURGED_AFTER = timedelta(days=90)
LOOK_AFTER = timedelta(minutes=10)
"""How long a writer may take to notice that its export is over; and how often one under way is looked at."""


@dataclass(frozen=True, slots=True)
class Due:
    """An export that is to be looked at."""

    id: str
    state: ExportState
    job_id: str
    expires_at: datetime | None
    file_ids: tuple[str, ...]


class ExportStore:
    def __init__(self, mongo: Mongo) -> None:
        self._exports = mongo.collection(EXPORTS)
        self._jobs = mongo.collection(ANALYTICS_JOBS)
        self._turns = mongo.collection(TURNS)

    async def insert(self, export: ExportView, user_id: str, *, session: Session | None) -> None:
        purge_at = export.created_at + PURGED_AFTER
        await self._exports.insert_one(
            {
                "_id": export.id,
                "user_id": user_id,
                "source": export.source.value,
                "format": export.format.value,
                "since": export.since,
                "until": export.until,
                "state": export.state.value,
                "job_id": export.job_id,
                "file_ids": [],
                "created_at": export.created_at,
                "sweep_at": export.created_at + LOOK_AFTER,
                "purge_at": purge_at,
            },
            session=session,
        )
        work = {"user_id": user_id, "kind": "export", "export_id": export.id, "created_at": export.created_at}
        await self._jobs.insert_one({"_id": export.job_id, **work, "purge_at": purge_at}, session=session)

    async def count_under_way(self, user_id: str, *, session: Session | None) -> int:
        """How many the user has. Two who count in order to begin one conflict, and one of them counts again."""
        await self._turns.update_one({"_id": user_id}, {"$inc": {"asked": 1}}, upsert=True, session=session)
        return await self._exports.count_documents({"user_id": user_id, "state": {"$in": UNDER_WAY}}, session=session)

    async def make_room(self, user_id: str, *, now: datetime, session: Session | None) -> None:
        """Of the user's files the newest are kept, so many and so many bytes; the time of the others is over."""
        wanted = {"user_id": user_id, "state": ExportState.FINISHED.value, "expires_at": {"$gt": now}}
        rows = self._exports.find(wanted, {"size": 1}, session=session).sort([("created_at", -1), ("_id", -1)])
        taken, over = 0, list[str]()
        for number, row in enumerate(await rows.to_list(None)):  # a few more than are kept
            taken += row["size"]
            if number >= MOST_KEPT or taken > MOST_KEPT_BYTES:
                over.append(row["_id"])
        if over:
            ended = {"$set": {"expires_at": now, "sweep_at": now}}
            await self._exports.update_many({"_id": {"$in": over}}, ended, session=session)

    async def get_own(self, export_id: str, user_id: str, *, session: Session | None = None) -> ExportView:
        """Raises `NotFound`, also for somebody else's."""
        return _export_from(await self._row(export_id, user_id, session))

    async def get_file_id(self, export_id: str, user_id: str) -> str | None:
        """The finished file's."""
        found: str | None = (await self._row(export_id, user_id, None)).get("file_id")
        return found

    async def _row(self, export_id: str, user_id: str, session: Session | None) -> Document:
        row = await self._exports.find_one({"_id": export_id, "user_id": user_id}, session=session)
        if row is None:
            raise NotFound("There is no such export, or it is not yours")
        return row

    async def list_page(self, user_id: str, *, cursor: Cursor | None, limit: int) -> Page[ExportView]:
        """Newest first; what the service before this one kept here has no source."""
        wanted = {"user_id": user_id, "source": {"$exists": True}, **(cursor.after() if cursor else {})}
        rows = self._exports.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _export_from)

    # Writing

    async def begin(self, export_id: str, file_id: str, *, now: datetime) -> tuple[ExportView, tuple[str, ...]] | None:
        """Take it up, as whoever's file has this id; answers the files of attempts before. None where it is over."""
        update = {
            "$set": {"state": ExportState.RUNNING.value, "writer": file_id, "rows": 0, "size": 0, "started_at": now},
            "$push": {"file_ids": file_id},
        }
        row = await self._exports.find_one_and_update({"_id": export_id, "state": {"$in": UNDER_WAY}}, update)
        if row is None:
            return None
        return _export_from(row), tuple(one for one in row["file_ids"] if one != file_id)

    async def keep_progress(self, export_id: str, file_id: str, *, rows: int, size: int, expected: int | None) -> bool:
        """False where the export is over, or another attempt's."""
        progress = {"rows": rows, "size": size, "rows_expected": expected}
        written = await self._exports.update_one(_of_writer(export_id, file_id), {"$set": progress})
        return written.matched_count == 1

    async def finish(
        self, export_id: str, file: StoredFile, *, rows: int, expires_at: datetime, session: Session | None
    ) -> bool:
        """False as above."""
        ended = {
            "state": ExportState.FINISHED.value,
            "file_id": file.id,
            "sha256": file.sha256,
            "rows": rows,
            "size": file.size,
            "finished_at": file.created_at,
            "expires_at": expires_at,
            "sweep_at": expires_at,
        }
        written = await self._exports.update_one(_of_writer(export_id, file.id), {"$set": ended}, session=session)
        return written.matched_count == 1

    async def end(
        self,
        export_id: str,
        state: ExportState,
        *,
        now: datetime,
        failure: ExportFailure | None = None,
        session: Session | None = None,
    ) -> bool:
        """Without a file. False where it is over already."""
        told: Document = {"state": state.value, "finished_at": now, "sweep_at": now + LOOK_AFTER}
        if failure is not None:
            told["failure"] = asdict(failure)
        wanted = {"_id": export_id, "state": {"$in": UNDER_WAY}}
        return (await self._exports.update_one(wanted, {"$set": told}, session=session)).matched_count == 1

    # Sweeping

    async def list_due(self, now: datetime, limit: int) -> list[Due]:
        rows = self._exports.find({"sweep_at": {"$lte": now}}).sort([("sweep_at", 1)]).limit(limit)
        return [_due_from(row) for row in await rows.to_list(limit)]

    async def look_again(self, export_id: str, *, at: datetime) -> None:
        await self._exports.update_one({"_id": export_id, "state": {"$in": UNDER_WAY}}, {"$set": {"sweep_at": at}})

    async def expire(self, export_id: str) -> None:
        wanted = {"_id": export_id, "state": ExportState.FINISHED.value}
        await self._exports.update_one(wanted, {"$set": {"state": ExportState.EXPIRED.value}})

    async def forget_files(self, export_id: str, file_ids: Sequence[str]) -> None:
        """They are removed, and there is nothing to look after any more."""
        gone = {"$pull": {"file_ids": {"$in": list(file_ids)}}, "$unset": {"sweep_at": "", "file_id": ""}}
        await self._exports.update_one({"_id": export_id}, gone)

    async def which_are_there(self, export_ids: Sequence[str]) -> set[str]:
        rows = self._exports.find({"_id": {"$in": list(export_ids)}}, {"_id": 1})
        return {row["_id"] async for row in rows}

    async def list_of(self, user_id: str) -> list[Due]:
        """All of a user's; there are never more than their requests of ninety days."""
        rows = self._exports.find({"user_id": user_id, "source": {"$exists": True}})
        return [_due_from(row) for row in await rows.to_list(None)]

    async def remove_of(self, user_id: str) -> None:
        await self._exports.delete_many({"user_id": user_id})
        await self._jobs.delete_many({"user_id": user_id})
        await self._turns.delete_one({"_id": user_id})


def _of_writer(export_id: str, file_id: str) -> Document:
    return {"_id": export_id, "state": ExportState.RUNNING.value, "writer": file_id}


def _due_from(row: Document) -> Due:
    state = ExportState(row["state"])
    return Due(row["_id"], state, row["job_id"], row.get("expires_at"), tuple(row["file_ids"]))


def _export_from(row: Document) -> ExportView:
    failure = row.get("failure")
    return ExportView(
        id=row["_id"],
        source=ExportSource(row["source"]),
        format=ExportFormat(row["format"]),
        since=row.get("since"),
        until=row["until"],
        state=ExportState(row["state"]),
        rows=row.get("rows", 0),
        rows_expected=row.get("rows_expected"),
        size=row.get("size", 0),
        sha256=row.get("sha256"),
        failure=None if failure is None else ExportFailure(failure["code"], failure["detail"]),
        job_id=row["job_id"],
        created_at=row["created_at"],
        finished_at=row.get("finished_at"),
        expires_at=row.get("expires_at"),
    )
