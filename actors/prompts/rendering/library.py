"""Fetching what a version includes, level by level: three queries for each level, whatever the number of includes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from promptforge.actors.prompts.errors import IncludesTooLarge
from promptforge.actors.prompts.messages import Include
from promptforge.actors.prompts.rendering.expansion import MAX_DEPTH, MAX_INCLUDES, Fragment, Pin, pin_of
from promptforge.core.mongo import Session

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores


async def load(
    stores: Stores, includes: Iterable[Include], *, session: Session | None, most: int = MAX_INCLUDES
) -> dict[Pin, Fragment]:
    """What can be reached from these includes, at most so many; what is not there is left out.

    One level more than is allowed, so that what is too deep shows as that and not as missing. For one moment in time
    it wants a transaction's session. Raises `IncludesTooLarge`.
    """
    library: dict[Pin, Fragment] = {}
    waiting = {pin_of(include) for include in includes}
    for _ in range(MAX_DEPTH + 1):
        if not waiting:
            break
        found = await _fetch(stores, waiting, session)
        library |= found
        if len(library) > most:
            raise IncludesTooLarge(f"There may be at most {most} includes, those of includes counted")
        waiting = {pin_of(include) for fragment in found.values() for include in fragment.includes} - library.keys()
    return library


async def _fetch(stores: Stores, pins: set[Pin], session: Session | None) -> dict[Pin, Fragment]:
    by_label = [(prompt_id, pin) for prompt_id, pin in pins if not pin[0].isdigit()]
    numbers = {(prompt_id, pin): int(pin) for prompt_id, pin in pins if pin[0].isdigit()}
    if by_label:
        labels = await stores.labels.list_these(by_label, session=session)
        numbers |= {(label.prompt_id, label.label): label.version for label in labels}
    wanted = {(prompt_id, number) for (prompt_id, _), number in numbers.items()}
    versions = await stores.versions.list_these(wanted, session=session)
    names = {
        prompt.id: prompt.name
        for prompt in await stores.prompts.list_these({prompt_id for prompt_id, _ in wanted}, session=session)
    }
    fragments = {
        (version.prompt_id, version.version): Fragment(
            prompt_id=version.prompt_id,
            name=names[version.prompt_id],
            version=version.version,
            content=version.content,
            includes=version.includes,
            variables=version.variables,
        )
        for version in versions
        if isinstance(version.content, str) and version.prompt_id in names
    }
    return {pin: fragments[pin[0], number] for pin, number in numbers.items() if (pin[0], number) in fragments}
