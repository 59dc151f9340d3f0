"""Serves compiled prompts, from the cache where it may be trusted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from promptforge.actors.projects.messages import ListReaders
from promptforge.actors.prompts.registry.domain import texts_of
from promptforge.actors.prompts.rendering.compilation import Compiled, compile_version
from promptforge.actors.prompts.serving.cache import CompiledCache, Entry, Key
from promptforge.actors.prompts.serving.messages import CompiledView, GetCompiledPrompt
from promptforge.actors.prompts.stores import Wanted
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, at_hand, handles

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores

ENTRY_OVERHEAD = 2000
"""Characters that an entry counts for besides its texts."""


class ServingActor(Actor):
    name = "serving"
    asks = ("projects",)

    def __init__(
        self,
        stores: Stores,
        cache: CompiledCache,
        *,
        look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`look` raises where the database does not answer: a transaction could not be cut short."""
        self._stores = stores
        self._cache = cache
        self._look = look

    @at_hand(GetCompiledPrompt)
    def find_compiled(self, message: GetCompiledPrompt, context: Context) -> CompiledView | None:
        return self._cache.find((message.prompt_id, message.version, message.label), context.user_id)

    @handles(GetCompiledPrompt)
    async def get_compiled(self, message: GetCompiledPrompt, context: Context) -> CompiledView:
        key = (message.prompt_id, message.version, message.label)
        found = self._cache.find(key, context.user_id)
        if found is not None:
            return found
        if self._look is not None:
            await self._look()
        begun = self._cache.begin()
        entry, readers = await context.transaction(lambda tx: self._read(key, tx))
        self._cache.keep(begun, key, entry, readers)
        return entry.view

    async def _read(self, key: Key, tx: Context) -> tuple[Entry, frozenset[str]]:
        """One snapshot: a label's version, and everything that it includes, as they were at one moment."""
        prompt_id, version, label = key
        prompt, _ = await self._stores.prompt_for(tx, prompt_id)
        number, label = await self._stores.version_of(tx, prompt, Wanted(version, label, in_query=True))
        found = await self._stores.versions.get(prompt.id, number, session=tx.session)
        compiled = await compile_version(self._stores, prompt, found, label=label, session=tx.session)
        readers = await tx.ask(ListReaders(project_id=prompt.project_id))
        view = _view(compiled)
        size = ENTRY_OVERHEAD + sum(map(len, texts_of(view.content))) + len(repr(view.response_schema))
        size += len(repr(view.tools)) + len(repr(view.variables))
        return Entry(view, prompt.project_id, compiled.prompt_ids, size), readers


def _view(compiled: Compiled) -> CompiledView:
    version = compiled.version
    return CompiledView(
        prompt_id=version.prompt_id,
        name=compiled.prompt.name,
        version=version.version,
        label=compiled.label,
        kind=version.kind,
        content=compiled.content,
        variables=compiled.variables,
        settings=version.settings,
        tools=version.tools,
        response_schema=version.response_schema,
        content_hash=version.content_hash,
    )
