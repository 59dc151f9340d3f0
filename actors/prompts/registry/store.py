"""Every query on the collections `prompts` and `prompt_versions`.

A version's document carries its prompt's owner, so that reading one is a single look-up by `_id`.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from promptforge.actors.prompts.errors import NameTaken
from promptforge.actors.prompts.messages import (
    ChatMessage,
    ChatRole,
    ModelSettings,
    PromptKind,
    PromptVersionView,
    PromptView,
)
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of

PROMPTS = "prompts"
VERSIONS = "prompt_versions"

INDEXES: dict[str, tuple[Index, ...]] = {
    PROMPTS: (
        Index((("owner_id", 1), ("name", 1)), unique=True, partial={"archived": False}),
        Index((("owner_id", 1), ("archived", 1), ("created_at", -1), ("_id", -1))),
    ),
    VERSIONS: (
        Index((("prompt_id", 1), ("version", 1)), unique=True),
        Index((("prompt_id", 1), ("content_hash", 1)), unique=True),
    ),
}


class PromptStore:
    def __init__(self, mongo: Mongo) -> None:
        self._prompts = mongo.collection(PROMPTS)
        self._versions = mongo.collection(VERSIONS)

    # Prompts

    async def insert(self, prompt: PromptView, owner_id: str, *, session: Session | None = None) -> None:
        """Raises `NameTaken`; inside a transaction that has aborted it."""
        document = {
            "_id": prompt.id,
            "owner_id": owner_id,
            "name": prompt.name,
            "kind": prompt.kind.value,
            "description": prompt.description,
            "tags": list(prompt.tags),
            "folder": prompt.folder,
            "latest_version": prompt.latest_version,
            "archived": False,
            "archived_at": None,
            "created_at": prompt.created_at,
            "updated_at": prompt.updated_at,
        }
        try:
            await self._prompts.insert_one(document, session=session)
        except DuplicateKey:
            raise NameTaken(f"One of your prompts is named {prompt.name!r} already") from None

    async def get(self, prompt_id: str, owner_id: str, *, session: Session | None = None) -> PromptView:
        """Raises `NotFound`."""
        row = await self._prompts.find_one({"_id": prompt_id, "owner_id": owner_id}, session=session)
        if row is None:
            raise _no_prompt()
        return _prompt_from(row)

    async def list_page(
        self, owner_id: str, *, archived: bool, tag: str | None, cursor: Cursor | None, limit: int
    ) -> Page[PromptView]:
        wanted: Document = {"owner_id": owner_id, "archived": archived, **(cursor.after() if cursor else {})}
        if tag is not None:
            wanted["tags"] = tag
        rows = self._prompts.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _prompt_from)

    async def update(
        self, prompt_id: str, owner_id: str, changes: Document, *, now: datetime, session: Session | None
    ) -> PromptView:
        """Archived ones too: a new name may be what restoring it needs. Raises `NotFound` or `NameTaken`."""
        changed = await self._change({"_id": prompt_id, "owner_id": owner_id}, changes, now=now, session=session)
        if changed is None:
            raise _no_prompt()
        return changed

    async def archive(self, prompt_id: str, owner_id: str, *, now: datetime, session: Session | None) -> PromptView:
        """Only the first time counts. Raises `NotFound`."""
        live = {"_id": prompt_id, "owner_id": owner_id, "archived": False}
        changed = await self._change(live, {"archived": True, "archived_at": now}, now=now, session=session)
        return changed or await self.get(prompt_id, owner_id, session=session)

    async def restore(self, prompt_id: str, owner_id: str, *, now: datetime, session: Session | None) -> PromptView:
        """Raises `NotFound` or `NameTaken`."""
        archived = {"_id": prompt_id, "owner_id": owner_id, "archived": True}
        changed = await self._change(archived, {"archived": False, "archived_at": None}, now=now, session=session)
        return changed or await self.get(prompt_id, owner_id, session=session)

    async def _change(
        self, wanted: Document, changes: Document, *, now: datetime, session: Session | None
    ) -> PromptView | None:
        update = {"$set": {**changes, "updated_at": now}}
        try:
            row = await self._prompts.find_one_and_update(wanted, update, session=session)
        except DuplicateKey:
            raise NameTaken from None
        return None if row is None else _prompt_from(row)

    # Versions

    async def next_version(self, prompt_id: str, owner_id: str, *, now: datetime, session: Session | None) -> int:
        """Take the next number. Whoever else takes one at the same time conflicts and begins again."""
        row = await self._prompts.find_one_and_update(
            {"_id": prompt_id, "owner_id": owner_id},
            {"$inc": {"latest_version": 1}, "$set": {"updated_at": now}},
            session=session,
        )
        if row is None:
            raise _no_prompt()
        number: int = row["latest_version"]
        return number

    async def insert_version(self, version: PromptVersionView, owner_id: str, *, session: Session | None) -> None:
        content: Any = version.content  # Any: text or a list of documents
        if not isinstance(content, str):
            content = [{"role": message.role.value, "content": message.content} for message in content]
        await self._versions.insert_one(
            {
                "_id": _version_id(version.prompt_id, version.version),
                "prompt_id": version.prompt_id,
                "owner_id": owner_id,
                "version": version.version,
                "kind": version.kind.value,
                "content": content,
                "settings": {name: value for name, value in asdict(version.settings).items() if value is not None},
                "message": version.message,
                "content_hash": version.content_hash,
                "created_at": version.created_at,
            },
            session=session,
        )

    async def find_by_hash(
        self, prompt_id: str, content_hash: str, *, session: Session | None
    ) -> PromptVersionView | None:
        row = await self._versions.find_one({"prompt_id": prompt_id, "content_hash": content_hash}, session=session)
        return None if row is None else _version_from(row)

    async def get_version(
        self, prompt_id: str, version: int, owner_id: str, *, session: Session | None = None
    ) -> PromptVersionView:
        """Raises `NotFound`."""
        wanted = {"_id": _version_id(prompt_id, version), "owner_id": owner_id}
        row = await self._versions.find_one(wanted, session=session)
        if row is None:
            raise _no_version()
        return _version_from(row)

    async def read_version(self, prompt_id: str, version: int, *, session: Session | None = None) -> PromptVersionView:
        """Whoever owns it. Raises `NotFound`."""
        row = await self._versions.find_one({"_id": _version_id(prompt_id, version)}, session=session)
        if row is None:
            raise _no_version()
        return _version_from(row)

    async def list_versions(self, prompt_id: str, *, cursor: Cursor | None, limit: int) -> Page[PromptVersionView]:
        """By number, from the last one down: two processes' clocks need not agree on which came first."""
        beyond = f"{prompt_id};"  # sorts after every `prompt_id:number`
        wanted = {"_id": {"$gt": f"{prompt_id}:", "$lt": min(cursor.id, beyond) if cursor else beyond}}
        rows = self._versions.find(wanted).sort([("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _version_from)


def _version_id(prompt_id: str, version: int) -> str:
    """Sorts by number, also as text."""
    return f"{prompt_id}:{version:07d}"


def _no_prompt() -> NotFound:
    return NotFound("There is no such prompt, or it is not yours")


def _no_version() -> NotFound:
    return NotFound("There is no such version, or the prompt is not yours")


def _prompt_from(row: Document) -> PromptView:
    return PromptView(
        id=row["_id"],
        name=row["name"],
        kind=PromptKind(row["kind"]),
        description=row["description"],
        tags=tuple(row["tags"]),
        folder=row["folder"],
        latest_version=row["latest_version"],
        archived_at=row["archived_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _version_from(row: Document) -> PromptVersionView:
    content = row["content"]
    if not isinstance(content, str):
        content = tuple(ChatMessage(ChatRole(part["role"]), part["content"]) for part in content)
    return PromptVersionView(
        prompt_id=row["prompt_id"],
        version=row["version"],
        kind=PromptKind(row["kind"]),
        content=content,
        settings=ModelSettings(**row["settings"]),
        message=row["message"],
        content_hash=row["content_hash"],
        created_at=row["created_at"],
    )
