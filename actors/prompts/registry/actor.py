"""Keeps prompts and their versions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import MISSING

from promptforge.actors.projects.messages import (
    AuthoriseInProject,
    ListProjectsOf,
    ProjectPermission,
    authorise,
    project_to_write,
)
from promptforge.actors.prompts.errors import UnpinnedInclude
from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    CreatePrompt,
    CreateVersion,
    DependantsView,
    GetPrompt,
    GetPromptIndex,
    GetPromptVersionFor,
    GetVersion,
    ListDependants,
    ListPrompts,
    ListVersions,
    ListWithIncluded,
    PinnedVersion,
    PromptIndexView,
    PromptVersionView,
    PromptView,
    ReadPromptDocuments,
    ReadPromptVersion,
    RestorePrompt,
    ScanPromptDocuments,
    UpdatePrompt,
)
from promptforge.actors.prompts.registry.dependants import dependants, refuse_while_included
from promptforge.actors.prompts.registry.findable import search_documents
from promptforge.actors.prompts.registry.making import make_prompt
from promptforge.actors.prompts.registry.pushing import check_live, push_version
from promptforge.actors.prompts.registry.versions import no_version
from promptforge.actors.prompts.rendering.compilation import compile_version
from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.made import Made
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores

MAX_SHOWN = 200


class PromptsActor(Actor):
    name = "prompts"
    asks = ("projects",)

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    # Prompts

    @handles(CreatePrompt, transactional=True)
    async def create(self, message: CreatePrompt, context: Context) -> PromptView:
        async def work(tx: Context) -> PromptView:
            project_id = await project_to_write(tx, message.project_id)
            prompt = await make_prompt(self._stores, tx, project_id, message)
            if message.first_version is None:
                return prompt
            await push_version(self._stores, tx, prompt, message.first_version, pointer="/first_version")
            return replace(prompt, latest_version=1)

        return await context.transaction(work)

    @handles(GetPrompt, transactional=True)
    async def get_prompt(self, message: GetPrompt, context: Context) -> PromptView:
        prompt, _ = await self._stores.prompt_for(context, message.prompt_id)
        return prompt

    @handles(ListPrompts)
    async def list_prompts(self, message: ListPrompts, context: Context) -> Page[PromptView]:
        cursor = Cursor.decode_optional(message.cursor)
        if message.project_id is not None:
            await authorise(context, message.project_id, ProjectPermission.READ)
            project_ids: tuple[str, ...] = (message.project_id,)
        else:
            project_ids = await context.ask(ListProjectsOf(user_id=context.user_id))
        return await self._stores.prompts.list_page(
            project_ids,
            archived=message.archived,
            tag=message.tag,
            folder=message.folder,
            name=message.name,
            cursor=cursor,
            limit=message.limit,
        )

    @handles(GetPromptIndex)
    async def get_index(self, message: GetPromptIndex, context: Context) -> PromptIndexView:
        await authorise(context, message.project_id, ProjectPermission.READ)
        return await self._stores.prompts.index(message.project_id)

    @handles(UpdatePrompt, key="prompt_id", transactional=True)
    async def update(self, message: UpdatePrompt, context: Context) -> PromptView:
        sent: dict[str, Any] = {  # Any: whatever the fields hold
            name: value
            for name in ("name", "description", "tags", "folder")
            if (value := getattr(message, name)) is not MISSING
        }
        if "tags" in sent:
            sent["tags"] = list(dict.fromkeys(sent["tags"]))
        prompt, _ = await self._writable(context, message.prompt_id)
        if not sent:
            return prompt
        updated = await self._stores.prompts.update(prompt.id, sent, now=context.now(), session=context.session)
        self._stores.changes(context, prompt.id)
        return updated

    @handles(ArchivePrompt, key="prompt_id", transactional=True)
    async def archive(self, message: ArchivePrompt, context: Context) -> PromptView:
        async def work(tx: Context) -> PromptView:
            prompt, _ = await self._writable(tx, message.prompt_id)
            if prompt.archived_at is None:
                await refuse_while_included(self._stores, prompt.id, session=tx.session)
            return await self._stores.prompts.archive(prompt.id, now=tx.now(), session=tx.session)

        return await context.transaction(work)

    @handles(RestorePrompt, key="prompt_id", transactional=True)
    async def restore(self, message: RestorePrompt, context: Context) -> PromptView:
        async def work(tx: Context) -> PromptView:
            prompt, _ = await self._writable(tx, message.prompt_id)
            if prompt.archived_at is not None:
                await check_live(self._stores, tx, prompt, await self._live_versions(prompt, tx))
            return await self._stores.prompts.restore(prompt.id, now=tx.now(), session=tx.session)

        return await context.transaction(work)

    async def _live_versions(self, prompt: PromptView, tx: Context) -> list[PromptVersionView]:
        """The latest, and those with a label."""
        pointing = await self._stores.labels.pointing_to([prompt.id], session=tx.session)
        numbers = {prompt.latest_version, *pointing.values()}
        return await self._stores.versions.list_these({(prompt.id, one) for one in numbers}, session=tx.session)

    @handles(ListDependants)
    async def list_dependants(self, message: ListDependants, context: Context) -> DependantsView:
        await self._stores.prompt_for(context, message.prompt_id)
        found = await dependants(self._stores, message.prompt_id, session=None)
        return DependantsView(tuple(found[:MAX_SHOWN]), more=len(found) > MAX_SHOWN)

    async def _writable(self, context: Context, prompt_id: str) -> tuple[PromptView, object]:
        return await self._stores.prompt_for(context, prompt_id, ProjectPermission.WRITE)

    # Versions

    @handles(CreateVersion, key="prompt_id", transactional=True)
    async def create_version(self, message: CreateVersion, context: Context) -> Made[PromptVersionView]:
        async def work(tx: Context) -> Made[PromptVersionView]:
            prompt, _ = await self._writable(tx, message.prompt_id)
            return await push_version(self._stores, tx, prompt, message, base_version=message.base_version)

        return await context.transaction(work)

    @handles(GetVersion)
    async def get_version(self, message: GetVersion, context: Context) -> PromptVersionView:
        version, project_id = await self._stores.versions.get_with_project(message.prompt_id, message.version)
        try:
            await authorise(context, project_id, ProjectPermission.READ)
        except NotFound:
            raise no_version() from None
        return version

    @handles(ListVersions)
    async def list_versions(self, message: ListVersions, context: Context) -> Page[PromptVersionView]:
        await self._stores.prompt_for(context, message.prompt_id)
        cursor = Cursor.decode_optional(message.cursor)
        return await self._stores.versions.list_page(message.prompt_id, cursor=cursor, limit=message.limit)

    # For search

    @handles(ReadPromptDocuments)
    async def read_documents(self, message: ReadPromptDocuments, context: Context) -> tuple[SearchDocument, ...]:
        return search_documents(await self._stores.prompts.list_these(message.ids))

    @handles(ScanPromptDocuments)
    async def scan_documents(self, message: ScanPromptDocuments, context: Context) -> DocumentPage:
        prompts = await self._stores.prompts.scan(message.after, message.limit)
        return DocumentPage(search_documents(prompts), prompts[-1].id if len(prompts) == message.limit else None)

    # For other features

    @handles(GetPromptVersionFor, transactional=True)
    async def get_version_for(self, message: GetPromptVersionFor, context: Context) -> PinnedVersion:
        session = context.session
        prompt = await self._stores.prompts.get(message.prompt_id, session=session)
        await context.ask(
            AuthoriseInProject(
                project_id=prompt.project_id, user_id=message.owner_id, permission=ProjectPermission.SELL
            )
        )
        if prompt.archived_at is not None:
            raise NotFound("The prompt is archived")
        version = await self._stores.versions.get(prompt.id, message.version, session=session)
        compiled = await compile_version(self._stores, prompt, version, label=None, session=session)
        pins = (*version.includes, *(include for fragment in compiled.expanded.used for include in fragment.includes))
        if any(include.label is not None for include in pins):
            raise UnpinnedInclude
        return PinnedVersion(version.prompt_id, version.version, version.kind, version.content_hash)

    @handles(ListWithIncluded)
    async def list_with_included(self, message: ListWithIncluded, context: Context) -> tuple[str, ...]:
        found, new = set(message.versions), set(message.versions)
        while new:
            of_these = await self._stores.versions.list_of_prompts({prompt_id for prompt_id, _ in new})
            pins = {pin for key in new for pin in of_these.get(key, ())}
            new = {(pin.prompt_id, pin.version) for pin in pins if pin.version is not None} - found
            found |= new
        keys = {f"{prompt_id}:{number}" for prompt_id, number in found}
        return tuple(sorted(keys | {prompt_id for prompt_id, _ in found}))

    @handles(ReadPromptVersion, transactional=True)
    async def read_version(self, message: ReadPromptVersion, context: Context) -> PromptVersionView:
        session = context.session
        version = await self._stores.versions.get(message.prompt_id, message.version, session=session)
        if not version.includes:
            return version
        prompt = await self._stores.prompts.get(message.prompt_id, session=session)
        compiled = await compile_version(self._stores, prompt, version, label=None, session=session)
        return replace(version, content=compiled.content, variables=compiled.variables, includes=())
