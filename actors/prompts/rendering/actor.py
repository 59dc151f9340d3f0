"""Renders prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptforge.actors.prompts.rendering.compilation import compile_version, with_texts
from promptforge.actors.prompts.rendering.messages import RenderedView, RenderPrompt
from promptforge.actors.prompts.rendering.values import MAX_RENDERED_CHARACTERS, fill, texts
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
        filled: list[str] = []
        room = MAX_RENDERED_CHARACTERS
        for pieces in compiled.expanded.texts:
            filled.append(fill(pieces, values, room=room))
            room -= len(filled[-1])
        version = compiled.version
        return RenderedView(
            prompt_id=version.prompt_id,
            version=version.version,
            label=compiled.label,
            kind=version.kind,
            content=with_texts(version.content, tuple(filled)),
            settings=version.settings,
            tools=version.tools,
            response_schema=version.response_schema,
        )

    async def _compile(self, message: RenderPrompt, tx: Context) -> Compiled:
        prompt, _ = await self._stores.prompt_for(tx, message.prompt_id)
        number, label = await self._stores.version_of(tx, prompt, version=message.version, label=message.label)
        version = await self._stores.versions.get(prompt.id, number, session=tx.session)
        return await compile_version(self._stores, prompt, version, label=label, session=tx.session)
