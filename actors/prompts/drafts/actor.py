"""Keeps drafts and publishes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptforge.actors.projects.messages import ProjectPermission
from promptforge.actors.prompts.drafts.messages import DiscardDraft, DraftView, GetDraft, PublishDraft, SaveDraft
from promptforge.actors.prompts.errors import NoDraft, PromptArchived
from promptforge.actors.prompts.messages import FirstVersion, PromptKind, PromptVersionView
from promptforge.actors.prompts.registry.pushing import push_version
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid, NotFound
from promptforge.core.made import Made
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores


class DraftsActor(Actor):
    name = "drafts"
    asks = ("projects",)

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    @handles(SaveDraft, key="prompt_id", transactional=True)
    async def save(self, message: SaveDraft, context: Context) -> DraftView:
        prompt, _ = await self._stores.prompt_for(context, message.prompt_id, ProjectPermission.WRITE)
        if prompt.archived_at is not None:
            raise PromptArchived
        if isinstance(message.content, str) is not (prompt.kind is PromptKind.TEXT):
            wanted = "a text" if prompt.kind is PromptKind.TEXT else "a list of messages"
            error = FieldError(f"This is a {prompt.kind} prompt: its content is {wanted}", "wrong_kind", "/content")
            raise Invalid(error.detail, errors=(error,))
        return await self._stores.drafts.save(
            message,
            prompt.latest_version if message.base_version is None else message.base_version,
            updated_by=context.user_id,
            now=context.now(),
            session=context.session,
        )

    @handles(GetDraft, transactional=True)
    async def get_draft(self, message: GetDraft, context: Context) -> DraftView:
        await self._stores.prompt_for(context, message.prompt_id)
        draft = await self._stores.drafts.find(message.prompt_id, session=context.session)
        if draft is None:
            raise NotFound("The prompt has no draft")
        return draft

    @handles(DiscardDraft, key="prompt_id", transactional=True)
    async def discard(self, message: DiscardDraft, context: Context) -> None:
        await self._stores.prompt_for(context, message.prompt_id, ProjectPermission.WRITE)
        await self._stores.drafts.remove(message.prompt_id, session=context.session)

    @handles(PublishDraft, key="prompt_id", transactional=True)
    async def publish(self, message: PublishDraft, context: Context) -> Made[PromptVersionView]:
        async def work(tx: Context) -> Made[PromptVersionView]:
            prompt, _ = await self._stores.prompt_for(tx, message.prompt_id, ProjectPermission.WRITE)
            draft = await self._stores.drafts.find(prompt.id, session=tx.session)
            if draft is None:
                raise NoDraft
            wanted = FirstVersion(
                content=draft.content,
                settings=draft.settings,
                message=message.message,
                tools=draft.tools,
                response_schema=draft.response_schema,
                variables=draft.variables,
            )
            made = await push_version(self._stores, tx, prompt, wanted, base_version=draft.base_version)
            await self._stores.drafts.remove(prompt.id, session=tx.session)
            return made

        return await context.transaction(work)
