"""What stands above a prompt: the versions that include it by a label, themselves or through others.

When the label moves, each of them says something else, and may have become too deep or too large. Whoever moves it
hears so, not the program that asks for one of them at night.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.lowlevel

from promptforge.actors.prompts.errors import IncludeMissing, IncludesTooDeep, IncludesTooLarge
from promptforge.actors.prompts.registry.domain import texts_of
from promptforge.actors.prompts.rendering.expansion import MAX_DEPTH, Pin, Place, expand, pin_of
from promptforge.actors.prompts.rendering.library import load
from promptforge.core.mongo import Session

if TYPE_CHECKING:
    from promptforge.actors.prompts.messages import PromptVersionView, PromptView
    from promptforge.actors.prompts.stores import Stores

MAX_CHECKED = 100
"""Versions that are put together: the farthest ones first. What is left out shows when it is rendered."""
MAX_LOADED = 5_000

Node = tuple[str, int]
"""A prompt and a number: a version."""


async def refuse_to_spoil(stores: Stores, prompt: PromptView, label: str, *, session: Session | None) -> None:
    """Raises `IncludesTooDeep` or `IncludesTooLarge` where the label, as it stands now, makes something live so.

    Live is the latest version of a prompt, and one that a label points to. What is wrong already stays as it is.
    """
    above = (await _live_above(stores, (prompt.id, label), session=session))[:MAX_CHECKED]
    if not above:
        return
    includes = {include for version in above for include in version.includes}
    library = await load(stores, includes, session=session, most=MAX_LOADED)
    prompts = await stores.prompts.list_these({version.prompt_id for version in above}, session=session)
    names = {one.id: one.name for one in prompts}
    for version in above:
        root = Place(version.prompt_id, names[version.prompt_id], version.version)
        await anyio.lowlevel.checkpoint()  # a hundred large texts would hold up everybody else
        try:
            expand(texts_of(version.content), version.includes, library, root=root)
        except (IncludesTooDeep, IncludesTooLarge) as error:
            told = f"Version {root.version} of {root.name!r} includes this by {label!r}: {error.detail}"
            raise type(error)(told, extra={"dependants": [root.name]}) from error
        except IncludeMissing:
            continue


async def _live_above(stores: Stores, moved: Pin, *, session: Session | None) -> list[PromptVersionView]:
    """The live versions that reach the prompt by this label, the farthest first.

    Old versions are many, and matter only where something includes them by number: the others are not read.
    """
    pins = {moved}
    seen: set[Node] = set()
    live: list[PromptVersionView] = []
    for _ in range(MAX_DEPTH + 1):
        including = await stores.versions.prompts_including({pin[0] for pin in pins}, session=session)
        if not including:
            break
        prompts = await stores.prompts.list_these(including, session=session)
        latest = {one.id: one.latest_version for one in prompts if one.archived_at is None}
        pointing = await stores.labels.pointing_to(latest, session=session)
        alive = {*latest.items(), *((pin[0], version) for pin, version in pointing.items())}
        wanted = alive | await stores.versions.numbers_pinned(latest, session=session)
        versions = await stores.versions.list_these(wanted - seen, session=session)
        found = [one for one in versions if any(pin_of(include) in pins for include in one.includes)]
        nodes = {(one.prompt_id, one.version) for one in found}
        seen |= nodes
        live[:0] = sorted(
            (one for one in found if (one.prompt_id, one.version) in alive),
            key=lambda one: (one.prompt_id, one.version),
        )
        pins = {(node[0], str(node[1])) for node in nodes}
        pins |= {pin for pin, version in pointing.items() if (pin[0], version) in nodes}
        if not pins:
            break
    return live
