"""Forks prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from promptforge.actors.marketplace.messages import UsePurchasedSource
from promptforge.actors.projects.messages import LATEST, project_to_write
from promptforge.actors.prompts.forks.messages import ForkPrompt
from promptforge.actors.prompts.messages import FirstVersion, PromptKind, PromptVersionView, PromptView, Provenance
from promptforge.actors.prompts.registry.making import make_prompt
from promptforge.actors.prompts.registry.pushing import push_version
from promptforge.actors.prompts.rendering.compilation import compile_version
from promptforge.actors.prompts.rendering.naming import names_now, with_names
from promptforge.actors.prompts.stores import Wanted
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores


@dataclass(frozen=True, slots=True)
class _Source:
    prompt: PromptView
    version: PromptVersionView
    purchase_id: str | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    kind: PromptKind
    description: str | None
    tags: tuple[str, ...]
    folder: str


class ForksActor(Actor):
    name = "forks"
    asks = ("projects", "purchases")

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    @handles(ForkPrompt, transactional=True)
    async def fork(self, message: ForkPrompt, context: Context) -> PromptView:
        return await context.transaction(lambda tx: self._fork(message, tx))

    async def _fork(self, message: ForkPrompt, tx: Context) -> PromptView:
        source = await self._source(message, tx)
        project_id = await project_to_write(tx, message.project_id)
        provenance = Provenance(source.prompt.id, source.version.version, source.purchase_id)
        own = source.purchase_id is None  # what was bought shows its content, not how its seller files it
        wanted = _Wanted(
            name=message.name or source.prompt.name,
            kind=source.prompt.kind,
            description=source.prompt.description if own else None,
            tags=source.prompt.tags if own else (),
            folder=message.folder,
        )
        prompt = await make_prompt(self._stores, tx, project_id, wanted, forked_from=provenance)
        at_home = own and project_id == source.prompt.project_id
        version = await self._to_push(source, tx, at_home=at_home)
        first = FirstVersion(
            content=version.content,
            settings=version.settings,
            message=f"Forked from version {version.version}",
            tools=version.tools,
            response_schema=version.response_schema,
            variables=version.variables,
        )
        await push_version(self._stores, tx, prompt, first)
        return replace(prompt, latest_version=1)

    async def _source(self, message: ForkPrompt, tx: Context) -> _Source:
        """Of a project of one's own, or else bought. Raises `NotFound` in the same words for what is neither."""
        try:
            prompt, _ = await self._stores.prompt_for(tx, message.prompt_id)
        except NotFound:
            bought = await tx.ask(
                UsePurchasedSource(prompt_id=message.prompt_id, version=message.version, buyer_id=tx.user_id)
            )
            if bought is None:
                raise
            prompt = await self._stores.prompts.get(message.prompt_id, session=tx.session)
            version = await self._stores.versions.get(prompt.id, bought.version, session=tx.session)
            return _Source(prompt, version, bought.purchase_id)
        wanted = Wanted(message.version, message.label, default=LATEST)
        number, _ = await self._stores.version_of(tx, prompt, wanted)
        return _Source(prompt, await self._stores.versions.get(prompt.id, number, session=tx.session), None)

    async def _to_push(self, source: _Source, tx: Context, *, at_home: bool) -> PromptVersionView:
        """With its includes, where all of them can still be named; otherwise with them in their places."""
        version = source.version
        if not version.includes:
            return version
        if at_home:
            names = await names_now(self._stores, [version], session=tx.session)
            if all(include.prompt_id in names for include in version.includes):
                return with_names(version, names)
        return await self._resolved(source, tx)

    async def _resolved(self, source: _Source, tx: Context) -> PromptVersionView:
        compiled = await compile_version(self._stores, source.prompt, source.version, label=None, session=tx.session)
        return replace(source.version, content=compiled.content, variables=compiled.variables, includes=())
