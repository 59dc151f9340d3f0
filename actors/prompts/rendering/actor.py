"""Renders prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from promptforge.actors.projects.messages import ProjectPermission
from promptforge.actors.prompts.messages import ChatMessage
from promptforge.actors.prompts.registry.domain import texts_of
from promptforge.actors.prompts.rendering.compilation import compile_version, with_texts
from promptforge.actors.prompts.rendering.messages import (
    FillIn,
    PinnedContent,
    PinVersion,
    ReadSealedPrompt,
    RenderedView,
    RenderPrompt,
    SealedPrompt,
)
from promptforge.actors.prompts.rendering.sealing import default_texts, schema_texts
from promptforge.actors.prompts.rendering.templates import variables_of, with_variables_only
from promptforge.actors.prompts.rendering.values import MAX_RENDERED_CHARACTERS, Pieces, effective, fill, texts
from promptforge.actors.prompts.stores import Wanted
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.prompts.rendering.compilation import Compiled
    from promptforge.actors.prompts.stores import Stores


class RenderingActor(Actor):
    name = "rendering"
    asks = ("projects",)

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    @handles(RenderPrompt)
    async def render(self, message: RenderPrompt, context: Context) -> RenderedView:
        compiled = await context.transaction(lambda tx: self._compile(message, tx))
        values = texts(compiled.variables, compiled.declared, message.variables)
        filled = _filled(compiled.expanded.texts, values)
        version = compiled.version
        return RenderedView(
            prompt_id=version.prompt_id,
            version=version.version,
            label=compiled.label,
            kind=version.kind,
            content=with_texts(version.content, filled),
            settings=version.settings,
            tools=version.tools,
            response_schema=version.response_schema,
        )

    @handles(FillIn, transactional=True)
    async def fill_in(self, message: FillIn, context: Context) -> str | tuple[ChatMessage, ...]:
        content = message.content
        parts = [with_variables_only(text) for text in texts_of(content)]
        variables = effective([name for pieces in parts for name in variables_of(pieces)], message.declared)
        known = {variable.name for variable in (*variables, *message.declared)}
        wanted = {name: value for name, value in message.values.items() if name in known}
        return with_texts(content, _filled(parts, texts(variables, message.declared, wanted)))

    @handles(ReadSealedPrompt, transactional=True)
    async def read_sealed(self, message: ReadSealedPrompt, context: Context) -> SealedPrompt:
        async def work(tx: Context) -> Compiled:
            prompt = await self._stores.prompts.get(message.prompt_id, session=tx.session)
            version = await self._stores.versions.get(prompt.id, message.version, session=tx.session)
            return await compile_version(self._stores, prompt, version, label=None, session=tx.session)

        compiled = await context.transaction(work)
        version = compiled.version
        parts = [piece for pieces in compiled.expanded.texts for piece in pieces]
        return SealedPrompt(
            kind=version.kind,
            content=compiled.content,
            pieces=(
                *(part for part in parts if isinstance(part, str)),
                *default_texts(compiled.variables),
                *schema_texts(version.response_schema),
            ),
            variables=compiled.variables,
            settings=version.settings,
            tools=version.tools,
            response_schema=version.response_schema,
        )

    @handles(PinVersion, transactional=True)
    async def pin_version(self, message: PinVersion, context: Context) -> PinnedContent:
        compiled = await context.transaction(lambda tx: self._compile(message, tx, ProjectPermission.WRITE))
        version = compiled.version
        return PinnedContent(
            project_id=compiled.prompt.project_id,
            prompt_id=version.prompt_id,
            version=version.version,
            label=compiled.label,
            content_hash=version.content_hash,
            content=compiled.content,
            declared=compiled.declared,
            settings=version.settings,
            response_schema=version.response_schema,
        )

    async def _compile(
        self,
        message: RenderPrompt | PinVersion,
        tx: Context,
        permission: ProjectPermission = ProjectPermission.READ,
    ) -> Compiled:
        prompt, _ = await self._stores.prompt_for(tx, message.prompt_id, permission)
        number, label = await self._stores.version_of(tx, prompt, Wanted(message.version, message.label))
        version = await self._stores.versions.get(prompt.id, number, session=tx.session)
        return await compile_version(self._stores, prompt, version, label=label, session=tx.session)


def _filled(contents: Sequence[Pieces], values: Mapping[str, str]) -> tuple[str, ...]:
    """The texts; raises `Invalid` where they would be too long together."""
    filled: list[str] = []
    room = MAX_RENDERED_CHARACTERS
    for pieces in contents:
        filled.append(fill(pieces, values, room=room))
        room -= len(filled[-1])
    return tuple(filled)
