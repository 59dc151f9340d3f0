"""Every query on the collection `prompt_versions`.

A version's document names its project, so that reading one is a look-up by `_id` and one of its project. JSON that
people wrote (schemas, defaults) is kept as text: BSON has opinions about keys such as `$ref`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import orjson

from promptforge.actors.projects.messages import OF_OTHERS
from promptforge.actors.prompts.messages import (
    ChatMessage,
    ChatRole,
    Include,
    ModelSettings,
    PromptKind,
    PromptVersionView,
    Tool,
    Variable,
    VariableType,
)
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, Held, Subject, kept, marks

VERSIONS = "prompt_versions"

INDEXES: dict[str, tuple[Index, ...]] = {
    VERSIONS: (
        Index((("prompt_id", 1), ("version", 1)), unique=True),
        Index((("prompt_id", 1), ("content_hash", 1)), unique=True),
        Index((("created_by", 1),)),
        Index((("includes.prompt_id", 1),), partial={"includes.prompt_id": {"$exists": True}}),
    ),
}
CONTENT = ("content", "variables", "tools", "response_schema")
SOLD = "only of what others have bought or sell, and what that includes: it is theirs to use"
HELD = {
    VERSIONS: Held(
        "The versions of your prompts, and those that you made in projects of others",
        (
            Subject("created_by", {**marks(CLEARED, "message"), **marks(kept(OF_OTHERS), *CONTENT)}, whole=True),
            Subject(
                "prompt_id",
                {**marks(CLEARED, "message"), **marks(kept(SOLD), *CONTENT)},
                of="prompts",
                deleted=True,
                spared=("prompt_id", "version"),
            ),
        ),
        plain=frozenset({"_id", "project_id", "kind", "content_hash", "created_by", "includes", "settings"}),
    ),
}


class VersionStore:
    def __init__(self, mongo: Mongo) -> None:
        self._versions = mongo.collection(VERSIONS)

    async def insert(self, version: PromptVersionView, project_id: str, *, session: Session | None) -> None:
        document = {
            "_id": _version_id(version.prompt_id, version.version),
            "prompt_id": version.prompt_id,
            "project_id": project_id,
            "version": version.version,
            "kind": version.kind.value,
            "message": version.message,
            "content_hash": version.content_hash,
            "created_by": version.created_by,
            "created_at": version.created_at,
            **stored_body(version),
        }
        if version.includes:
            document["includes"] = [asdict(include) for include in version.includes]
        await self._versions.insert_one(document, session=session)

    async def find_by_hash(
        self, prompt_id: str, content_hash: str, *, session: Session | None
    ) -> PromptVersionView | None:
        row = await self._versions.find_one({"prompt_id": prompt_id, "content_hash": content_hash}, session=session)
        return None if row is None else _version_from(row)

    async def find(self, prompt_id: str, version: int, *, session: Session | None = None) -> PromptVersionView | None:
        row = await self._versions.find_one({"_id": _version_id(prompt_id, version)}, session=session)
        return None if row is None else _version_from(row)

    async def get(self, prompt_id: str, version: int, *, session: Session | None = None) -> PromptVersionView:
        """Whoever asks. Raises `NotFound`."""
        found = await self.find(prompt_id, version, session=session)
        if found is None:
            raise no_version()
        return found

    async def get_with_project(self, prompt_id: str, version: int) -> tuple[PromptVersionView, str]:
        """A version and the id of its project. Raises `NotFound`."""
        row = await self._versions.find_one({"_id": _version_id(prompt_id, version)})
        if row is None:
            raise no_version()
        return _version_from(row), row["project_id"]

    async def list_these(
        self, wanted: Collection[tuple[str, int]], *, session: Session | None = None
    ) -> list[PromptVersionView]:
        """Those of these (prompt, version) that there are, in no order."""
        ids = [_version_id(prompt_id, version) for prompt_id, version in wanted]
        rows = self._versions.find({"_id": {"$in": ids}}, session=session)
        return [_version_from(row) for row in await rows.to_list(len(ids))]

    async def list_page(self, prompt_id: str, *, cursor: Cursor | None, limit: int) -> Page[PromptVersionView]:
        """By number, from the last one down: two processes' clocks need not agree on which came first."""
        beyond = f"{prompt_id};"  # sorts after every `prompt_id:number`
        wanted = {"_id": {"$gt": f"{prompt_id}:", "$lt": min(cursor.id, beyond) if cursor else beyond}}
        rows = self._versions.find(wanted).sort([("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _version_from)

    async def list_including(
        self, prompt_id: str, *, limit: int, session: Session | None = None
    ) -> list[tuple[str, int, tuple[Include, ...]]]:
        """Prompt, number and includes of the versions that include this prompt, newest first."""
        wanted = {"includes.prompt_id": prompt_id}
        fields = {"prompt_id": 1, "version": 1, "includes": 1}
        rows = self._versions.find(wanted, fields, session=session).sort([("_id", -1)]).limit(limit)
        return [(row["prompt_id"], row["version"], _includes_from(row)) for row in await rows.to_list(limit)]

    async def list_of_prompts(self, prompt_ids: Collection[str]) -> dict[tuple[str, int], tuple[Include, ...]]:
        """Every version of these prompts by its prompt and number, and what it includes."""
        fields = {"prompt_id": 1, "version": 1, "includes": 1}
        rows = self._versions.find({"prompt_id": {"$in": sorted(prompt_ids)}}, fields)
        return {(row["prompt_id"], row["version"]): _includes_from(row) async for row in rows}

    async def prompts_including(self, prompt_ids: Collection[str], *, session: Session | None = None) -> set[str]:
        """The prompts of which any version includes one of these."""
        stages: list[Document] = [
            {"$match": {"includes.prompt_id": {"$in": sorted(prompt_ids)}}},
            {"$group": {"_id": "$prompt_id"}},
        ]
        rows = await self._versions.aggregate(stages, session=session).to_list(None)  # prompts of one project
        return {row["_id"] for row in rows}

    async def numbers_pinned(
        self, prompt_ids: Collection[str], *, session: Session | None = None
    ) -> set[tuple[str, int]]:
        """The versions of these prompts that any version includes by number."""
        ours = {"$in": sorted(prompt_ids)}
        stages: list[Document] = [
            {"$match": {"includes.prompt_id": ours}},
            {"$unwind": "$includes"},
            {"$match": {"includes.prompt_id": ours, "includes.version": {"$ne": None}}},
            {"$group": {"_id": {"prompt_id": "$includes.prompt_id", "version": "$includes.version"}}},
        ]
        rows = await self._versions.aggregate(stages, session=session).to_list(None)  # at most as many as there are
        return {(row["_id"]["prompt_id"], row["_id"]["version"]) for row in rows}


def no_version() -> NotFound:
    return NotFound("There is no such version, or the prompt is not yours")


def stored_body(body: Any) -> Document:  # Any: whatever has a version's content, settings and the rest
    """What a version or a draft says, as stored."""
    content = body.content
    if not isinstance(content, str):
        content = [{"role": message.role.value, "content": message.content} for message in content]
    stored: Document = {
        "content": content,
        "settings": {name: value for name, value in asdict(body.settings).items() if value is not None},
    }
    if body.tools:
        stored["tools"] = [{**asdict(tool), "parameters": _as_text(tool.parameters)} for tool in body.tools]
    if body.response_schema is not None:
        stored["response_schema"] = _as_text(body.response_schema)
    if body.variables:
        stored["variables"] = [
            {
                **asdict(variable),
                "type": variable.type.value,
                "values": list(variable.values),
                "default": _as_text(variable.default),
            }
            for variable in body.variables
        ]
    return stored


def body_from(row: Document) -> Document:
    """What `stored_body` stored, as the fields of a view."""
    content = row["content"]
    if not isinstance(content, str):
        content = tuple(ChatMessage(ChatRole(part["role"]), part["content"]) for part in content)
    return {
        "content": content,
        "settings": ModelSettings(**row["settings"]),
        "tools": tuple(Tool(**{**tool, "parameters": _from_text(tool["parameters"])}) for tool in row.get("tools", ())),
        "response_schema": _from_text(row.get("response_schema")),
        "variables": tuple(
            Variable(
                name=one["name"],
                type=VariableType(one["type"]),
                description=one["description"],
                default=_from_text(one["default"]),
                values=tuple(one["values"]),
            )
            for one in row.get("variables", ())
        ),
    }


def _as_text(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _from_text(text: str | None) -> Any:  # Any: JSON
    return None if text is None else orjson.loads(text)


def _version_id(prompt_id: str, version: int) -> str:
    """Sorts by number, also as text."""
    return f"{prompt_id}:{version:07d}"


def _includes_from(row: Document) -> tuple[Include, ...]:
    return tuple(Include(**include) for include in row.get("includes", ()))


def _version_from(row: Document) -> PromptVersionView:
    return PromptVersionView(
        prompt_id=row["prompt_id"],
        version=row["version"],
        kind=PromptKind(row["kind"]),
        message=row["message"],
        content_hash=row["content_hash"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        includes=_includes_from(row),
        **body_from(row),
    )
