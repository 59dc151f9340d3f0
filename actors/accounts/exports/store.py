"""Every query on the collection `personal_exports`: the last one of each person, whose `_id` is theirs.

An attempt at writing is fenced by its file's id (`writer`). The ids of all files that attempts have begun are kept
until they are removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.accounts.exports.messages import PersonalExportState, PersonalExportView
from promptforge.core.mongo import Document, Index, Mongo, Session, StoredFile
from promptforge.core.personal import Held, Subject

EXPORTS = "personal_exports"
INDEXES: dict[str, tuple[Index, ...]] = {
    EXPORTS: (Index((("state", 1), ("expires_at", 1))), Index((("file_ids", 1),))),
}
HELD = {
    EXPORTS: Held(
        "That you asked for an export like this one",
        (Subject("_id", deleted=True),),
        plain=frozenset({"state", "job_id", "writer", "file_ids", "file_id", "sha256"}),
    )
}
UNDER_WAY = [PersonalExportState.QUEUED.value, PersonalExportState.RUNNING.value]


@dataclass(frozen=True, slots=True)
class PersonalExport:
    """As stored. `file_id` is the finished file's; `job_id` names what writes it."""

    user_id: str
    view: PersonalExportView
    job_id: str | None
    file_id: str | None
    file_ids: tuple[str, ...]

    @property
    def under_way(self) -> bool:
        return self.view.state.value in UNDER_WAY


class PersonalExportStore:
    def __init__(self, mongo: Mongo) -> None:
        self._exports = mongo.collection(EXPORTS)

    async def find(self, user_id: str, *, session: Session | None = None) -> PersonalExport | None:
        row = await self._exports.find_one({"_id": user_id}, session=session)
        return None if row is None else _export_from(row)

    async def ask(self, user_id: str, job_id: str, *, now: datetime, session: Session | None) -> PersonalExport:
        """A new one in the place of the last. Two who ask at once conflict, and the second one looks again."""
        fresh = {"state": PersonalExportState.QUEUED.value, "requested_at": now, "job_id": job_id, "writer": None}
        gone = dict.fromkeys(("finished_at", "expires_at", "size", "sha256", "file_id"), "")
        update = {"$set": fresh, "$unset": gone, "$setOnInsert": {"file_ids": []}}
        return _export_from(await self._exports.find_one_and_upsert({"_id": user_id}, update, session=session))

    async def begin(self, user_id: str, file_id: str) -> PersonalExport | None:
        """Take it up; answers it with the files of before. None where nobody waits for it any more."""
        row = await self._exports.find_one_and_update(
            {"_id": user_id, "state": {"$in": UNDER_WAY}},
            {"$set": {"state": PersonalExportState.RUNNING.value, "writer": file_id}, "$push": {"file_ids": file_id}},
        )
        return None if row is None else _export_from(row)

    async def finish(self, user_id: str, file: StoredFile, *, expires_at: datetime, session: Session | None) -> bool:
        """False where another attempt has it, or nobody."""
        ended = {
            "state": PersonalExportState.FINISHED.value,
            "file_id": file.id,
            "sha256": file.sha256,
            "size": file.size,
            "finished_at": file.created_at,
            "expires_at": expires_at,
        }
        written = await self._exports.update_one(_of_writer(user_id, file.id), {"$set": ended}, session=session)
        return written.matched_count == 1

    async def end(self, user_id: str) -> tuple[str, ...]:
        """Nobody begins or finishes it from now on. Answers the ids of all its files."""
        ended = {"$set": {"state": PersonalExportState.FAILED.value, "writer": None}}
        row = await self._exports.find_one_and_update({"_id": user_id}, ended)
        return () if row is None else tuple(row["file_ids"])

    async def forget_files(self, user_id: str, file_ids: Sequence[str]) -> None:
        await self._exports.update_one({"_id": user_id}, {"$pull": {"file_ids": {"$in": list(file_ids)}}})

    async def list_expired(self, now: datetime, limit: int) -> list[PersonalExport]:
        wanted = {"state": PersonalExportState.FINISHED.value, "expires_at": {"$lte": now}}
        rows = self._exports.find(wanted).sort([("expires_at", 1)]).limit(limit)
        return [_export_from(row) for row in await rows.to_list(limit)]

    async def expire(self, export: PersonalExport) -> None:
        wanted = {"_id": export.user_id, "file_id": export.file_id}
        await self._exports.update_one(wanted, {"$set": {"state": PersonalExportState.EXPIRED.value}})

    async def list_under_way(self, after: str, limit: int) -> list[PersonalExport]:
        """Those of the people after this one, in the order of their ids."""
        rows = self._exports.find({"state": {"$in": UNDER_WAY}, "_id": {"$gt": after}}).sort([("_id", 1)]).limit(limit)
        return [_export_from(row) for row in await rows.to_list(limit)]

    async def give_up(self, export: PersonalExport) -> None:
        """Nobody writes it any more; one that has ended meanwhile, or is another, stays as it is."""
        wanted = {"_id": export.user_id, "state": {"$in": UNDER_WAY}, "requested_at": export.view.requested_at}
        await self._exports.update_one(wanted, {"$set": {"state": PersonalExportState.FAILED.value}})

    async def list_given_up(self, limit: int) -> list[PersonalExport]:
        """Those of which there still are files."""
        wanted = {"state": PersonalExportState.FAILED.value, "file_ids.0": {"$exists": True}}
        return [_export_from(row) for row in await self._exports.find(wanted).limit(limit).to_list(limit)]

    async def are_named(self, file_ids: Sequence[str]) -> set[str]:
        """Those of the files that an export names."""
        rows = self._exports.find({"file_ids": {"$in": list(file_ids)}}, {"file_ids": 1})
        return {one for row in await rows.to_list(None) for one in row["file_ids"]}


def _of_writer(user_id: str, file_id: str) -> Document:
    return {"_id": user_id, "state": PersonalExportState.RUNNING.value, "writer": file_id}


def _export_from(row: Document) -> PersonalExport:
    view = PersonalExportView(
        state=PersonalExportState(row["state"]),
        requested_at=row["requested_at"],
        finished_at=row.get("finished_at"),
        expires_at=row.get("expires_at"),
        size=row.get("size"),
        sha256=row.get("sha256"),
    )
    return PersonalExport(row["_id"], view, row.get("job_id"), row.get("file_id"), tuple(row["file_ids"]))
