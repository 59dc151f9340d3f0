"""Every query on `package_uploads` and `package_installs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from promptforge.actors.packages.installing.messages import (
    InstalledDataset,
    InstalledPrompt,
    InstallView,
    UploadView,
)
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject, kept, marks

OTHERS = "only of what others have installed: the names are those of prompts and datasets that are theirs"
UPLOAD = "upl"
"""What the ids of uploads, and so of their files, begin with."""
UPLOADS = "package_uploads"
INSTALLS = "package_installs"

INDEXES: dict[str, tuple[Index, ...]] = {
    UPLOADS: (
        Index((("user_id", 1), ("slot", 1)), unique=True, partial={"slot": {"$exists": True}}),
        Index((("user_id", 1),)),
        Index((("expires_at", 1),)),
    ),
    INSTALLS: (Index((("user_id", 1), ("created_at", -1), ("_id", -1))), Index((("publisher", 1),))),
}
HELD = {
    UPLOADS: Held("Packages that you uploaded, for a day", (Subject("user_id", deleted=True),), plain=frozenset({"*"})),
    INSTALLS: Held(
        "Which packages you installed, and who installed yours",
        (
            Subject("user_id", deleted=True, whole=True),
            Subject("publisher", marks(kept(OTHERS), "name", "prompts", "datasets", "conflicts"), exported=False),
        ),
        plain=frozenset({"project_id", "version", "sha256", "key_id"}),
    ),
}


class InstallStore:
    def __init__(self, mongo: Mongo) -> None:
        self._uploads = mongo.collection(UPLOADS)
        self._installs = mongo.collection(INSTALLS)

    # Uploads: the file has the upload's id

    async def insert_upload(self, upload: UploadView, user_id: str, *, most: int) -> bool:
        """Before the first byte of its file is written, so that the file is found again whatever happens.

        The one that was installed first makes room; False where none was. Each has a slot of its own, and of two who
        take one at once the second takes another.
        """
        fields = asdict(upload)
        del fields["id"]
        while True:
            taken = {row["slot"] async for row in self._uploads.find({"user_id": user_id, "slot": {"$gte": 0}})}
            slot = next((free for free in range(most) if free not in taken), None)
            if slot is None:
                if not await self._make_room(user_id, now=upload.created_at):
                    return False
                continue
            try:
                await self._uploads.insert_one({"_id": upload.id, "user_id": user_id, "slot": slot, **fields})
            except DuplicateKey:
                continue
            return True

    async def _make_room(self, user_id: str, *, now: datetime) -> bool:
        wanted = {"user_id": user_id, "slot": {"$gte": 0}, "installed_at": {"$type": "date"}}
        row = await self._uploads.find_one_and_update(wanted, _over(now), sort=[("installed_at", 1), ("_id", 1)])
        return row is not None

    async def list_uploads(self, user_id: str, *, now: datetime) -> tuple[UploadView, ...]:
        """Newest first."""
        wanted = {"user_id": user_id, "slot": {"$gte": 0}, "expires_at": {"$gt": now}}
        rows = self._uploads.find(wanted).sort([("created_at", -1), ("_id", -1)])
        return tuple([_upload_from(row) async for row in rows])  # as many as there are slots

    async def note_installed(self, upload_id: str, user_id: str, *, now: datetime, session: Session | None) -> None:
        """In the transaction that installs it: beside a removal one of the two comes first. Raises `NotFound`."""
        wanted = {"_id": upload_id, "user_id": user_id, "expires_at": {"$gt": now}}
        noted = await self._uploads.update_one(wanted, {"$set": {"installed_at": now}}, session=session)
        if noted.matched_count == 0:
            raise no_upload()

    async def end(self, upload_id: str, user_id: str, *, now: datetime) -> None:
        """Nobody finds it from now on, and what expires is swept. Raises `NotFound`, also for somebody else's."""
        wanted = {"_id": upload_id, "user_id": user_id, "expires_at": {"$gt": now}}
        if (await self._uploads.update_one(wanted, _over(now))).matched_count == 0:
            raise no_upload()

    async def get_upload(self, upload_id: str, user_id: str, *, now: datetime) -> UploadView:
        """Raises `NotFound`, also for somebody else's."""
        row = await self._uploads.find_one({"_id": upload_id, "user_id": user_id, "expires_at": {"$gt": now}})
        if row is None:
            raise no_upload()
        return _upload_from(row)

    async def list_expired(self, now: datetime, *, limit: int) -> Sequence[str]:
        rows = self._uploads.find({"expires_at": {"$lte": now}}, {"_id": 1}).limit(limit)
        return [row["_id"] for row in await rows.to_list(limit)]

    async def which_are_there(self, upload_ids: Sequence[str]) -> set[str]:
        rows = self._uploads.find({"_id": {"$in": list(upload_ids)}}, {"_id": 1})
        return {row["_id"] async for row in rows}

    async def remove(self, upload_id: str) -> None:
        await self._uploads.delete_one({"_id": upload_id})

    # Installations

    async def insert(self, install: InstallView, user_id: str, *, session: Session | None) -> None:
        fields = asdict(install)
        del fields["id"]
        lists = {name: list(fields[name]) for name in ("prompts", "datasets", "conflicts")}
        await self._installs.insert_one({"_id": install.id, "user_id": user_id, **fields, **lists}, session=session)

    async def get_own(self, install_id: str, user_id: str) -> InstallView:
        """Raises `NotFound`, also for somebody else's."""
        row = await self._installs.find_one({"_id": install_id, "user_id": user_id})
        if row is None:
            raise NotFound("There is no such installation, or it is not yours")
        return _install_from(row)

    async def list_page(self, user_id: str, *, cursor: Cursor | None, limit: int) -> Page[InstallView]:
        wanted = {"user_id": user_id, **(cursor.after() if cursor else {})}
        rows = self._installs.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _install_from)


def no_upload() -> NotFound:
    return NotFound("There is no such upload, or it is not yours, or its day is over")


def _over(now: datetime) -> Document:
    return {"$set": {"expires_at": now}, "$unset": {"slot": ""}}


def _upload_from(row: Document) -> UploadView:
    return UploadView(id=row["_id"], **{name: row[name] for name in UploadView.__slots__ if name != "id"})


def _install_from(row: Document) -> InstallView:
    return InstallView(
        id=row["_id"],
        project_id=row["project_id"],
        publisher=row["publisher"],
        name=row["name"],
        version=row["version"],
        sha256=row["sha256"],
        key_id=row["key_id"],
        prompts=tuple(InstalledPrompt(**one) for one in row["prompts"]),
        datasets=tuple(InstalledDataset(**one) for one in row["datasets"]),
        conflicts=tuple(row["conflicts"]),
        created_at=row["created_at"],
    )
