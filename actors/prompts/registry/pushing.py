"""Adding a version: the same for a push, a first version, a published draft, a fork and an import."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from promptforge.actors.prompts.errors import IncludeArchived, PromptArchived, StaleBase
from promptforge.actors.prompts.messages import Include, PromptKind, PromptVersionView, PromptView
from promptforge.actors.prompts.registry.domain import (
    Content,
    Wanted,
    check_version,
    hash_of,
    new_version,
    texts_of,
    wanted_includes,
)
from promptforge.actors.prompts.rendering.expansion import Place, expand
from promptforge.actors.prompts.rendering.library import load
from promptforge.actors.prompts.rendering.templates import version_of
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.made import Made

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores


async def push_version(
    stores: Stores,
    tx: Context,
    prompt: PromptView,
    wanted: Wanted,
    *,
    base_version: int | None = None,
    pointer: str = "",
) -> Made[PromptVersionView]:
    """Add a version to a prompt that was read in this transaction, or find the one with the same content.

    That the user may is the caller's to know. `pointer` is where `wanted` stands in what was sent. Raises
    `PromptArchived`, `Invalid`, `StaleBase` or an error of its includes.
    """
    if prompt.archived_at is not None:
        raise PromptArchived
    check_version(prompt.kind, wanted, pointer=pointer)
    includes = await _resolve(stores, tx, prompt, wanted.content, pointer=pointer + "/content")
    existing = await stores.versions.find_by_hash(prompt.id, hash_of(wanted, includes), session=tx.session)
    if existing is not None:
        return Made(existing, new=False)
    if base_version is not None and base_version != prompt.latest_version:
        raise StaleBase(
            f"The latest version is {prompt.latest_version}, not {base_version}",
            extra={"latest_version": prompt.latest_version},
        )
    place = Place(prompt.id, prompt.name, None)
    await check_includes(stores, tx, place, content=wanted.content, includes=includes)
    now = tx.now()
    number = await stores.prompts.next_version(prompt.id, now=now, session=tx.session)
    version = new_version(prompt, number, wanted, created_by=tx.user_id, now=now, includes=includes)
    await stores.versions.insert(version, prompt.project_id, session=tx.session)
    stores.changes(tx, prompt.id)
    return Made(version)


async def check_includes(
    stores: Stores, tx: Context, place: Place, *, content: Content, includes: tuple[Include, ...]
) -> None:
    """That everything included is there, not too deep, not too much and not in a circle, until this commits.

    Everything that can be reached is written to: two changes that each alone close no circle, and together would,
    conflict in at least one prompt, so the second one sees the first.
    """
    if not includes:
        return
    library = await load(stores, includes, session=tx.session)
    expand(texts_of(content), includes, library, root=place)
    reached = {prompt_id for prompt_id, _ in library}
    await stores.prompts.rely_on({*reached, place.prompt_id}, session=tx.session)


async def check_live(stores: Stores, tx: Context, prompt: PromptView, versions: Collection[PromptVersionView]) -> None:
    """That these versions may be live again: what they include is there as when they were made, and not archived.

    It may have gone while nothing live included it. Raises `IncludeArchived`, or an error of the includes.
    """
    included = {include.prompt_id for version in versions for include in version.includes}
    there = await stores.prompts.list_these(included, session=tx.session) if included else []
    archived = sorted(one.name for one in there if one.archived_at is not None)
    if archived:
        names = ", ".join(repr(name) for name in archived)
        raise IncludeArchived(f"{prompt.name!r} includes {names}", extra={"includes": archived})
    for version in sorted(versions, key=lambda one: one.version):
        place = Place(prompt.id, prompt.name, version.version)
        await check_includes(stores, tx, place, content=version.content, includes=version.includes)


async def _resolve(
    stores: Stores, tx: Context, prompt: PromptView, content: Content, *, pointer: str
) -> tuple[Include, ...]:
    """The prompts that the content's includes name now. Raises `Invalid` with each that is none."""
    wanted = wanted_includes(content)
    if not wanted:
        return ()
    names = {part.name for part in wanted}
    found = {one.name: one for one in await stores.prompts.list_named(prompt.project_id, names, session=tx.session)}
    errors: list[FieldError] = []
    includes: list[Include] = []
    for part, where in wanted.items():
        included = found.get(part.name)
        if included is None:
            detail = f"The project has no prompt {part.name!r}"
            errors.append(FieldError(detail, "unknown_include", pointer=pointer + where))
        elif included.kind is not PromptKind.TEXT:
            detail = f"{part.name!r} is a chat prompt, and only texts can be included"
            errors.append(FieldError(detail, "not_a_text", pointer=pointer + where))
        else:
            number = version_of(part.pin)
            label = part.pin if number is None else None
            includes.append(Include(part.name, included.id, number, label))
    if errors:
        raise Invalid("Some includes are not there", errors=tuple(errors))
    return tuple(includes)
