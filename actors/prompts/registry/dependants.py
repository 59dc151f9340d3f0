"""Which prompts include another one, and whether that still matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptforge.actors.prompts.errors import HasDependants
from promptforge.actors.prompts.messages import Dependant
from promptforge.actors.prompts.rendering.expansion import pin_of
from promptforge.core.mongo import Session

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores

MAX_LOOKED_AT = 10_000
MAX_NAMED = 10


async def dependants(stores: Stores, prompt_id: str, *, session: Session | None) -> list[Dependant]:
    """Every version that includes the prompt, of prompts that are not archived; live ones first, then the newest."""
    rows = await stores.versions.list_including(prompt_id, limit=MAX_LOOKED_AT, session=session)
    prompts = {one.id: one for one in await stores.prompts.list_these({row[0] for row in rows}, session=session)}
    pointing = await stores.labels.pointing_to(prompts.keys(), session=session) if prompts else {}
    labelled = {(including, version) for (including, _), version in pointing.items()}
    found = []
    for including, version, includes in rows:
        prompt = prompts.get(including)
        if prompt is None or prompt.archived_at is not None:
            continue
        live = version == prompt.latest_version or (including, version) in labelled
        pins = dict.fromkeys(pin_of(include)[1] for include in includes if include.prompt_id == prompt_id)
        found += [Dependant(including, prompt.name, version, pin, live) for pin in pins]
    return sorted(found, key=lambda one: (not one.live, one.name, -one.version, one.pin))


async def refuse_while_included(
    stores: Stores, prompt_id: str, *, label: str | None = None, session: Session | None
) -> None:
    """Raises `HasDependants` where something live includes the prompt, by this label where one is given."""
    live = [
        one
        for one in await dependants(stores, prompt_id, session=session)
        if one.live and (label is None or one.pin == label)
    ]
    if live:
        names = list(dict.fromkeys(one.name for one in live))
        told = ", ".join(repr(name) for name in names[:MAX_NAMED])
        raise HasDependants(f"It is included by {told}", extra={"dependants": names[:MAX_NAMED]})
