"""What stands above a prompt: the versions that include it by a label, themselves or through others.

When the label moves, each of them says something else, and may have become too deep or too large. Whoever moves it
hears so, not the program that asks for one of them at night.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.lowlevel

from promptforge.actors.prompts.errors import IncludeMissing, IncludesTooDeep, IncludesTooLarge
from promptforge.actors.prompts.registry.domain import texts_of
from promptforge.actors.prompts.rendering.expansion import MAX_DEPTH, Place, expand, pin_of
from promptforge.actors.prompts.rendering.library import load
from promptforge.core.mongo import Session

if TYPE_CHECKING:
    from promptforge.actors.prompts.messages import PromptView
    from promptforge.actors.prompts.stores import Stores

MAX_ROWS = 10_000
"""Including versions that are looked at, on each level."""
MAX_CHECKED = 100
"""Versions that are put together: the farthest ones first. What is left out shows when it is rendered."""
MAX_LOADED = 5_000

Node = tuple[str, int]
"""A prompt and a number: a version."""


async def refuse_to_spoil(stores: Stores, prompt: PromptView, label: str, *, session: Session | None) -> None:
    """Raises `IncludesTooDeep` or `IncludesTooLarge` where the label, as it stands now, makes something live so.

    Live is the latest version of a prompt, and one that a label points to. What is wrong already stays as it is.
    """
    live = (await _live_above(stores, prompt.id, label, session=session))[:MAX_CHECKED]
    if not live:
        return
    versions = await stores.versions.list_these(live, session=session)
    names = {one.id: one.name for one in await stores.prompts.list_these({node[0] for node in live}, session=session)}
    includes = {include for version in versions for include in version.includes}
    library = await load(stores, includes, session=session, most=MAX_LOADED)
    for version in versions:
        root = Place(version.prompt_id, names[version.prompt_id], version.version)
        await anyio.lowlevel.checkpoint()  # a hundred large texts would hold up everybody else
        try:
            expand(texts_of(version.content), version.includes, library, root=root)
        except (IncludesTooDeep, IncludesTooLarge) as error:
            told = f"Version {root.version} of {root.name!r} includes this by {label!r}: {error.detail}"
            raise type(error)(told, extra={"dependants": [root.name]}) from error
        except IncludeMissing:
            continue


async def _live_above(stores: Stores, prompt_id: str, label: str, *, session: Session | None) -> list[Node]:
    """The live versions that reach the prompt by this label, the farthest first."""
    pins: set[tuple[str, str]] = {(prompt_id, label)}
    seen: set[Node] = set()
    live: list[Node] = []
    for _ in range(MAX_DEPTH + 1):
        if not pins:
            break
        below = {pin[0] for pin in pins}
        rows = await stores.versions.list_including(below, limit=MAX_ROWS, session=session)
        nodes = {(row[0], row[1]) for row in rows if any(pin_of(include) in pins for include in row[2])} - seen
        prompts = await stores.prompts.list_these({node[0] for node in nodes}, session=session) if nodes else []
        latest = {one.id: one.latest_version for one in prompts if one.archived_at is None}
        nodes = {node for node in nodes if node[0] in latest}
        pointing = await stores.labels.pointing_to(latest, session=session) if latest else {}
        labelled = {(pin[0], version) for pin, version in pointing.items()}
        seen |= nodes
        live[:0] = sorted(node for node in nodes if node in labelled or latest[node[0]] == node[1])
        pins = {(node[0], str(node[1])) for node in nodes}
        pins |= {pin for pin, version in pointing.items() if (pin[0], version) in nodes}
    return live
