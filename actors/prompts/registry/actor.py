"""Keeps prompts and their versions."""

from __future__ import annotations

from typing import Any

from pydantic import MISSING

from promptforge.actors.prompts.domain import check_content, content_hash, new_version
from promptforge.actors.prompts.errors import PromptArchived, StaleBase
from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    CreatePrompt,
    CreateVersion,
    GetPrompt,
    GetPromptVersionFor,
    GetVersion,
    ListPrompts,
    ListVersions,
    PinnedVersion,
    PromptVersionView,
    PromptView,
    ReadPromptVersion,
    RestorePrompt,
    UpdatePrompt,
)
from promptforge.actors.prompts.store import PromptStore
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.ids import new_id
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles


class PromptsActor(Actor):
    name = "prompts"

    def __init__(self, store: PromptStore) -> None:
        self._store = store

    # Prompts

    @handles(CreatePrompt, transactional=True)
    async def create(self, message: CreatePrompt, context: Context) -> PromptView:
        now, first = context.now(), message.first_version
        if first is not None:
            check_content(message.kind, first.content, pointer="/first_version/content")
        prompt = PromptView(
            id=new_id("prm"),
            name=message.name,
            kind=message.kind,
            description=message.description,
            tags=tuple(dict.fromkeys(message.tags)),
            folder=message.folder,
            latest_version=0 if first is None else 1,
            archived_at=None,
            created_at=now,
            updated_at=now,
        )

        async def work(tx: Context) -> PromptView:
            await self._store.insert(prompt, tx.user_id, session=tx.session)
            if first is not None:
                version = new_version(prompt, 1, first, now=now)
                await self._store.insert_version(version, tx.user_id, session=tx.session)
            return prompt

        return await context.transaction(work)

    @handles(GetPrompt, transactional=True)
    async def get_prompt(self, message: GetPrompt, context: Context) -> PromptView:
        return await self._store.get(message.prompt_id, context.user_id, session=context.session)

    @handles(ListPrompts)
    async def list_prompts(self, message: ListPrompts, context: Context) -> Page[PromptView]:
        return await self._store.list_page(
            context.user_id,
            archived=message.archived,
            tag=message.tag,
            cursor=Cursor.decode_optional(message.cursor),
            limit=message.limit,
        )

    @handles(UpdatePrompt, key="prompt_id", transactional=True)
    async def update(self, message: UpdatePrompt, context: Context) -> PromptView:
        sent: dict[str, Any] = {  # Any: whatever the fields hold
            name: value
            for name in ("name", "description", "tags", "folder")
            if (value := getattr(message, name)) is not MISSING
        }
        if "tags" in sent:
            sent["tags"] = list(dict.fromkeys(sent["tags"]))
        session = context.session
        if not sent:
            return await self._store.get(message.prompt_id, context.user_id, session=session)
        return await self._store.update(message.prompt_id, context.user_id, sent, now=context.now(), session=session)

    @handles(ArchivePrompt, key="prompt_id", transactional=True)
    async def archive(self, message: ArchivePrompt, context: Context) -> PromptView:
        now, session = context.now(), context.session
        return await self._store.archive(message.prompt_id, context.user_id, now=now, session=session)

    @handles(RestorePrompt, key="prompt_id", transactional=True)
    async def restore(self, message: RestorePrompt, context: Context) -> PromptView:
        now, session = context.now(), context.session
        return await self._store.restore(message.prompt_id, context.user_id, now=now, session=session)

    # Versions

    @handles(CreateVersion, key="prompt_id", transactional=True)
    async def create_version(self, message: CreateVersion, context: Context) -> PromptVersionView:
        return await context.transaction(lambda tx: self._add_version(message, tx))

    async def _add_version(self, message: CreateVersion, tx: Context) -> PromptVersionView:
        prompt = await self._store.get(message.prompt_id, tx.user_id, session=tx.session)
        if prompt.archived_at is not None:
            raise PromptArchived
        check_content(prompt.kind, message.content)
        digest = content_hash(message.content, message.settings)
        existing = await self._store.find_by_hash(prompt.id, digest, session=tx.session)
        if existing is not None:
            return existing
        if message.base_version is not None and message.base_version != prompt.latest_version:
            raise StaleBase(
                f"The latest version is {prompt.latest_version}, not {message.base_version}",
                extra={"latest_version": prompt.latest_version},
            )
        now = tx.now()
        number = await self._store.next_version(prompt.id, tx.user_id, now=now, session=tx.session)
        version = new_version(prompt, number, message, now=now)
        await self._store.insert_version(version, tx.user_id, session=tx.session)
        return version

    @handles(GetVersion)
    async def get_version(self, message: GetVersion, context: Context) -> PromptVersionView:
        return await self._store.get_version(message.prompt_id, message.version, context.user_id)

    @handles(ListVersions)
    async def list_versions(self, message: ListVersions, context: Context) -> Page[PromptVersionView]:
        await self._store.get(message.prompt_id, context.user_id)
        cursor = Cursor.decode_optional(message.cursor)
        return await self._store.list_versions(message.prompt_id, cursor=cursor, limit=message.limit)

    # For other features

    @handles(GetPromptVersionFor, transactional=True)
    async def get_version_for(self, message: GetPromptVersionFor, context: Context) -> PinnedVersion:
        session = context.session
        prompt = await self._store.get(message.prompt_id, message.owner_id, session=session)
        if prompt.archived_at is not None:
            raise NotFound("The prompt is archived")
        version = await self._store.get_version(message.prompt_id, message.version, message.owner_id, session=session)
        return PinnedVersion(version.prompt_id, version.version, version.kind, version.content_hash)

    @handles(ReadPromptVersion, transactional=True)
    async def read_version(self, message: ReadPromptVersion, context: Context) -> PromptVersionView:
        return await self._store.read_version(message.prompt_id, message.version, session=context.session)
