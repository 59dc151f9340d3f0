"""Every query on the collection `prompts`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime

from promptforge.actors.projects.messages import OF_OTHERS
from promptforge.actors.prompts.errors import NameTaken
from promptforge.actors.prompts.messages import (
    FolderCount,
    PromptIndexView,
    PromptKind,
    PromptView,
    Provenance,
    TagCount,
)
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, EMPTIED, REDACTED, RENAMED, Held, Subject, kept, marks

PROMPTS = "prompts"
MAX_COUNTED = 1000
"""Folders, and tags, that an index of a project shows."""

INDEXES: dict[str, tuple[Index, ...]] = {
    PROMPTS: (
        # Prompts of a database that was not migrated yet have no project, and must not collide.
        Index(
            (("project_id", 1), ("name", 1)), unique=True, partial={"archived": False, "project_id": {"$exists": True}}
        ),
        Index((("project_id", 1), ("archived", 1), ("created_at", -1), ("_id", -1))),
        Index((("created_by", 1),)),
    ),
}
HELD = {
    PROMPTS: Held(
        "Your prompts, and those that you made in projects of others",
        (
            Subject(
                "created_by",
                marks(kept(OF_OTHERS), "name", "folder", "description", "tags"),
                whole=True,
                inside="project_id:projects",
            ),
            Subject(
                "project_id",
                {
                    **marks(RENAMED, "name"),
                    **marks(REDACTED, "folder"),
                    **marks(CLEARED, "description"),
                    **marks(EMPTIED, "tags"),
                },
                of="projects",
                deleted=True,
                spared=("_id",),
                whole=True,
            ),
        ),
        plain=frozenset({"project_id", "kind", "created_by", "provenance", "owner_id"}),
    ),
}


class PromptStore:
    def __init__(self, mongo: Mongo) -> None:
        self._prompts = mongo.collection(PROMPTS)

    async def insert(self, prompt: PromptView, *, session: Session | None = None) -> None:
        """Raises `NameTaken`; inside a transaction that has aborted it."""
        fields = {**asdict(prompt), "kind": prompt.kind.value, "tags": list(prompt.tags)}
        del fields["id"]
        try:
            await self._prompts.insert_one({"_id": prompt.id, **fields, "archived": False}, session=session)
        except DuplicateKey:
            raise NameTaken(f"A prompt of this project is named {prompt.name!r} already") from None

    async def get(self, prompt_id: str, *, session: Session | None = None) -> PromptView:
        """Whoever asks. Raises `NotFound`."""
        row = await self._prompts.find_one({"_id": prompt_id}, session=session)
        if row is None:
            raise no_prompt()
        return _prompt_from(row)

    async def list_these(self, prompt_ids: Collection[str], *, session: Session | None = None) -> list[PromptView]:
        """Those of them that there are, in no order."""
        rows = self._prompts.find({"_id": {"$in": list(prompt_ids)}}, session=session)
        return [_prompt_from(row) for row in await rows.to_list(len(prompt_ids))]

    async def scan(self, after: str | None, limit: int) -> list[PromptView]:
        """Whoever asks: all that are in a project, archived ones too, in the order of their ids."""
        wanted: Document = {"_id": {"$gt": after or ""}, "project_id": {"$exists": True}}
        rows = self._prompts.find(wanted).sort([("_id", 1)]).hint("_id_").limit(limit)
        return [_prompt_from(row) for row in await rows.to_list(limit)]

    async def list_named(
        self, project_id: str, names: Collection[str], *, session: Session | None = None
    ) -> list[PromptView]:
        """Those of the project with these names that are not archived."""
        wanted = {"project_id": project_id, "archived": False, "name": {"$in": list(names)}}
        rows = self._prompts.find(wanted, session=session)
        return [_prompt_from(row) for row in await rows.to_list(len(names))]

    async def list_page(  # the filters of one list
        self,
        project_ids: Sequence[str],
        *,
        archived: bool,
        tag: str | None = None,
        folder: str | None = None,
        name: str | None = None,
        cursor: Cursor | None,
        limit: int,
    ) -> Page[PromptView]:
        """Newest first. `folder` with those below it, `name` as a beginning."""
        projects: object = project_ids[0] if len(project_ids) == 1 else {"$in": list(project_ids)}
        wanted: Document = {"project_id": projects, "archived": archived, **(cursor.after() if cursor else {})}
        if tag is not None:
            wanted["tags"] = tag
        if folder:
            wanted["folder"] = {"$regex": f"^{re.escape(folder)}(/|$)"}
        elif folder is not None:
            wanted["folder"] = ""
        if name is not None:
            wanted["name"] = {"$regex": f"^{re.escape(name)}"}
        rows = self._prompts.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _prompt_from)

    async def index(self, project_id: str) -> PromptIndexView:
        """Counts of what is not archived."""
        mine: Document = {"$match": {"project_id": project_id, "archived": False}}
        order: list[Document] = [{"$sort": {"_id": 1}}, {"$limit": MAX_COUNTED}]
        folders = self._prompts.aggregate([mine, {"$group": {"_id": "$folder", "prompts": {"$sum": 1}}}, *order])
        by_tag: list[Document] = [{"$unwind": "$tags"}, {"$group": {"_id": "$tags", "prompts": {"$sum": 1}}}]
        tags = self._prompts.aggregate([mine, *by_tag, *order])
        return PromptIndexView(
            tuple(FolderCount(row["_id"], row["prompts"]) for row in await folders.to_list(MAX_COUNTED)),
            tuple(TagCount(row["_id"], row["prompts"]) for row in await tags.to_list(MAX_COUNTED)),
        )

    async def update(self, prompt_id: str, changes: Document, *, now: datetime, session: Session | None) -> PromptView:
        """Archived ones too: a new name may be what restoring it needs. Raises `NotFound` or `NameTaken`."""
        changed = await self._change({"_id": prompt_id}, changes, now=now, session=session)
        if changed is None:
            raise no_prompt()
        return changed

    async def archive(self, prompt_id: str, *, now: datetime, session: Session | None) -> PromptView:
        """Only the first time counts. Raises `NotFound`."""
        live = {"_id": prompt_id, "archived": False}
        changed = await self._change(live, {"archived": True, "archived_at": now}, now=now, session=session)
        return changed or await self.get(prompt_id, session=session)

    async def restore(self, prompt_id: str, *, now: datetime, session: Session | None) -> PromptView:
        """Raises `NotFound` or `NameTaken`."""
        archived = {"_id": prompt_id, "archived": True}
        changed = await self._change(archived, {"archived": False, "archived_at": None}, now=now, session=session)
        return changed or await self.get(prompt_id, session=session)

    async def _change(
        self, wanted: Document, changes: Document, *, now: datetime, session: Session | None
    ) -> PromptView | None:
        update = {"$set": {**changes, "updated_at": now}}
        try:
            row = await self._prompts.find_one_and_update(wanted, update, session=session)
        except DuplicateKey:
            raise NameTaken from None
        return None if row is None else _prompt_from(row)

    async def next_version(self, prompt_id: str, *, now: datetime, session: Session | None) -> int:
        """Take the next number. Whoever else takes one at the same time conflicts and begins again."""
        row = await self._prompts.find_one_and_update(
            {"_id": prompt_id}, {"$inc": {"latest_version": 1}, "$set": {"updated_at": now}}, session=session
        )
        if row is None:
            raise no_prompt()
        number: int = row["latest_version"]
        return number

    async def rely_on(self, prompt_ids: Collection[str], *, session: Session | None) -> None:
        """Write to these prompts, so that whoever changes what they are at the same time conflicts and begins again.

        A transaction that only read them could commit beside one that archives one of them, or closes a circle.
        """
        if prompt_ids:
            # In one order: two that rely on each other's prompts then conflict at the first, not crosswise.
            await self._prompts.update_many(
                {"_id": {"$in": sorted(prompt_ids)}}, {"$inc": {"relied_on": 1}}, session=session
            )


def no_prompt() -> NotFound:
    return NotFound("There is no such prompt, or it is not yours")


def _prompt_from(row: Document) -> PromptView:
    forked = row.get("forked_from")
    return PromptView(
        id=row["_id"],
        project_id=row["project_id"],
        name=row["name"],
        kind=PromptKind(row["kind"]),
        description=row["description"],
        tags=tuple(row["tags"]),
        folder=row["folder"],
        latest_version=row["latest_version"],
        forked_from=None if forked is None else Provenance(**forked),
        created_by=row["created_by"],
        archived_at=row["archived_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
