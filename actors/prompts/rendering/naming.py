"""Includes under the names that their prompts have now.

A version knows what it includes by id, and says it by the name of the day it was pushed. Where its text is to be read
anew, as in a fork or an import, that name may stand for nothing by now, or for another prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from promptforge.actors.prompts.messages import PromptVersionView
from promptforge.actors.prompts.registry.domain import texts_of
from promptforge.actors.prompts.rendering.compilation import with_texts
from promptforge.actors.prompts.rendering.templates import IncludePart, can_be_included, rewritten
from promptforge.core.mongo import Session

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores


async def names_now(
    stores: Stores, versions: Sequence[PromptVersionView], *, session: Session | None
) -> dict[str, str]:
    """By id, the names of what these versions include; what is archived, or has a name that no include can say, is
    left out.
    """
    ids = {include.prompt_id for version in versions for include in version.includes}
    if not ids:
        return {}
    prompts = await stores.prompts.list_these(ids, session=session)
    return {one.id: one.name for one in prompts if one.archived_at is None and can_be_included(one.name)}


def with_names(version: PromptVersionView, names: Mapping[str, str]) -> PromptVersionView:
    """The version with these names in its includes; one that has none there keeps the one that it was pushed with."""
    now = {one.name: names[one.prompt_id] for one in version.includes if one.prompt_id in names}

    def change(part: IncludePart) -> IncludePart:
        return IncludePart(now.get(part.name, part.name), part.pin)

    texts = tuple(rewritten(text, change) for text in texts_of(version.content))
    return replace(version, content=with_texts(version.content, texts))
