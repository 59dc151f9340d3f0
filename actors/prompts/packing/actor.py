"""Packs versions of prompts with what they include, and takes packed prompts into a project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from promptforge.actors.projects.messages import AuthoriseInProject, ProjectPermission, authorise
from promptforge.actors.prompts.errors import NamesCollide, TooMuchToPack, UnknownIncludes, UnpinnedInclude
from promptforge.actors.prompts.exchange.drafts import Parsed
from promptforge.actors.prompts.exchange.importing import Importing
from promptforge.actors.prompts.exchange.messages import ExportedPrompt, OnConflict
from promptforge.actors.prompts.exchange.order import included_parts, includes_first
from promptforge.actors.prompts.exchange.parts import exported_version
from promptforge.actors.prompts.messages import Include, PromptVersionView, PromptView
from promptforge.actors.prompts.packing.messages import (
    PackedPrompt,
    PackPrompts,
    TakenPrompt,
    TakenPrompts,
    TakePrompts,
)
from promptforge.actors.prompts.registry.store import no_prompt
from promptforge.actors.prompts.registry.versions import no_version
from promptforge.actors.prompts.rendering.naming import with_names
from promptforge.actors.prompts.rendering.templates import can_be_included, version_of
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores

MAX_PACKED = 500
"""Versions in all."""


class PackingActor(Actor):
    name = "packing"
    asks = ("projects",)

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    # Into a package

    @handles(PackPrompts, transactional=True)
    async def pack(self, message: PackPrompts, context: Context) -> tuple[PackedPrompt, ...]:
        wanted = dict.fromkeys(message.wanted)
        prompts = await self._prompts_of({prompt_id for prompt_id, _ in wanted}, message.owner_id, context)
        versions = await self._with_includes(list(wanted), context)
        missing = {prompt_id for prompt_id, _ in versions} - prompts.keys()
        found = await self._stores.prompts.list_these(missing, session=context.session)  # of the same projects
        prompts |= {prompt.id: prompt for prompt in found}
        names = _names_of(prompts.values())
        packed = []
        for prompt in sorted(prompts.values(), key=lambda one: one.name):
            own = sorted((one for (of, _), one in versions.items() if of == prompt.id), key=lambda one: one.version)
            packed.append(
                PackedPrompt(
                    prompt_id=prompt.id,
                    prompt=ExportedPrompt(
                        name=prompt.name,
                        kind=prompt.kind,
                        description=prompt.description,
                        tags=prompt.tags,
                        folder=prompt.folder,
                        versions=tuple(exported_version(with_names(one, names)) for one in own),
                    ),
                    content_hashes=tuple(one.content_hash for one in own),
                    included=prompt.id in missing,
                )
            )
        return tuple(packed)

    async def _prompts_of(self, prompt_ids: set[str], owner_id: str, context: Context) -> dict[str, PromptView]:
        """Those that the owner may sell; what they may not even see is not there."""
        found = {}
        for prompt_id in sorted(prompt_ids):
            prompt = await self._stores.prompts.get(prompt_id, session=context.session)
            asked = AuthoriseInProject(
                project_id=prompt.project_id, user_id=owner_id, permission=ProjectPermission.SELL
            )
            try:
                await context.ask(asked)
            except NotFound:
                raise no_prompt() from None
            if prompt.archived_at is not None:
                raise NotFound("The prompt is archived")
            found[prompt.id] = prompt
        return found

    async def _with_includes(
        self, wanted: list[tuple[str, int]], context: Context
    ) -> dict[tuple[str, int], PromptVersionView]:
        """By prompt and number: these versions and all that can be reached from them."""
        found: dict[tuple[str, int], PromptVersionView] = {}
        waiting = set(wanted)
        while waiting:
            if len(found) + len(waiting) > MAX_PACKED:
                raise TooMuchToPack(f"A package has at most {MAX_PACKED} versions, those that are included too")
            read = await self._stores.versions.list_these(waiting, session=context.session)
            if len(read) < len(waiting):
                raise no_version()
            found |= {(one.prompt_id, one.version): one for one in read}
            waiting = {_pinned(include) for version in read for include in version.includes}
            waiting -= found.keys()
        return found

    # Out of a package

    @handles(TakePrompts, transactional=True)
    async def take(self, message: TakePrompts, context: Context) -> TakenPrompts:
        return await context.transaction(lambda tx: self._take(message, tx))

    async def _take(self, message: TakePrompts, tx: Context) -> TakenPrompts:
        await authorise(tx, message.project_id, ProjectPermission.WRITE)
        _check_closed(message.prompts)
        names = [prompt.name for prompt in message.prompts]
        there = await self._stores.prompts.list_named(message.project_id, names, session=tx.session)
        conflicts = tuple(sorted(prompt.name for prompt in there))
        if conflicts and message.on_conflict is OnConflict.REFUSE:
            return TakenPrompts((), conflicts)
        importing = Importing(self._stores, message.project_id, message.on_conflict)
        parsed = [Parsed((index,), one.name, one, (), ()) for index, one in enumerate(message.prompts)]
        taken = {}
        for index in includes_first(parsed):
            item = await importing.take(parsed[index], tx)
            if item.prompt_id is None or item.stored_as is None:
                raise RuntimeError("what is not refused has been taken")
            name = message.prompts[index].name
            taken[index] = TakenPrompt(name, item.stored_as, item.prompt_id, importing.numbers_of(name))
        return TakenPrompts(tuple(taken[index] for index in range(len(parsed))), conflicts)


def _pinned(include: Include) -> tuple[str, int]:
    if include.version is None:
        raise UnpinnedInclude("What is packaged must not change: include versions, not labels")
    return include.prompt_id, include.version


def _names_of(prompts: Iterable[PromptView]) -> dict[str, str]:
    """By id; each is another one, and can be said in an include."""
    names: dict[str, str] = {}
    for prompt in prompts:
        if prompt.name in names.values():
            raise NamesCollide(f"Two prompts of the package are called {prompt.name!r}")
        names[prompt.id] = prompt.name
    return names


def _check_closed(prompts: tuple[ExportedPrompt, ...]) -> None:
    """That everything included comes along, by version: nothing of the project that it goes to is meant."""
    there = {(prompt.name, version.version) for prompt in prompts for version in prompt.versions}
    for prompt in prompts:
        for part in included_parts(prompt):
            number = version_of(part.pin)
            if number is None or (part.name, number) not in there or not can_be_included(part.name):
                raise UnknownIncludes(f"{prompt.name!r} includes {part.name!r}@{part.pin}, which is not in the package")
