"""Moves labels and remembers the moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptforge.actors.projects.messages import authorise
from promptforge.actors.prompts.errors import PromptArchived
from promptforge.actors.prompts.labels.messages import (
    GetLabel,
    LabelMoveView,
    LabelsView,
    LabelView,
    ListLabelMoves,
    ListLabels,
    MoveLabel,
    RemoveLabel,
)
from promptforge.actors.prompts.labels.moving import MAX_LABELS, move_label, permission_to_move
from promptforge.actors.prompts.messages import PromptView
from promptforge.actors.prompts.registry.dependants import refuse_while_included
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores


class LabelsActor(Actor):
    name = "labels"
    asks = ("projects",)

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    @handles(ListLabels)
    async def list_labels(self, message: ListLabels, context: Context) -> LabelsView:
        prompt, _ = await self._stores.prompt_for(context, message.prompt_id)
        return LabelsView(await self._stores.labels.list_of(prompt.id, limit=MAX_LABELS), prompt.latest_version)

    @handles(GetLabel, transactional=True)
    async def get_label(self, message: GetLabel, context: Context) -> LabelView:
        prompt, _ = await self._stores.prompt_for(context, message.prompt_id)
        return await self._existing(context, prompt, message.label)

    async def _existing(self, context: Context, prompt: PromptView, label: str) -> LabelView:
        found = await self._stores.labels.find(prompt.id, label, session=context.session)
        if found is None:
            raise NotFound(f"The prompt has no label {label!r}")
        return found

    @handles(MoveLabel, key="prompt_id", transactional=True)
    async def move(self, message: MoveLabel, context: Context) -> LabelView:
        return await context.transaction(lambda tx: self._move(message, tx))

    async def _move(self, message: MoveLabel, tx: Context) -> LabelView:
        prompt = await self._movable(tx, message.prompt_id, message.label)
        version = await self._stores.versions.get(prompt.id, message.version, session=tx.session)
        return await move_label(self._stores, tx, prompt, label=message.label, version=version, reason=message.reason)

    async def _movable(self, tx: Context, prompt_id: str, label: str) -> PromptView:
        prompt, access = await self._stores.prompt_for(tx, prompt_id)
        await authorise(tx, prompt.project_id, permission_to_move(label, access.protected_labels))
        if prompt.archived_at is not None:
            raise PromptArchived
        return prompt

    @handles(RemoveLabel, key="prompt_id", transactional=True)
    async def remove(self, message: RemoveLabel, context: Context) -> None:
        async def work(tx: Context) -> None:
            prompt = await self._movable(tx, message.prompt_id, message.label)
            label = await self._existing(tx, prompt, message.label)
            await refuse_while_included(self._stores, prompt.id, label=label.label, session=tx.session)
            # Whoever begins to include the prompt at this moment writes to it too.
            await self._stores.prompts.rely_on({prompt.id}, session=tx.session)
            await self._stores.labels.remove(label, removed_by=tx.user_id, now=tx.now(), session=tx.session)
            self._stores.changes(tx, prompt.id)

        await context.transaction(work)

    @handles(ListLabelMoves)
    async def list_moves(self, message: ListLabelMoves, context: Context) -> Page[LabelMoveView]:
        await self._stores.prompt_for(context, message.prompt_id)
        cursor = Cursor.decode_optional(message.cursor)
        return await self._stores.labels.list_moves(
            message.prompt_id, label=message.label, cursor=cursor, limit=message.limit
        )
