"""Compares versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread

from promptforge.actors.prompts.comparison.domain import compare
from promptforge.actors.prompts.comparison.messages import CompareVersions, VersionDiffView
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores


class ComparisonActor(Actor):
    name = "comparison"
    asks = ("projects",)
    max_queries = 8
    """A comparison of large texts takes a tenth of a second of a core."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    @handles(CompareVersions)
    async def compare(self, message: CompareVersions, context: Context) -> VersionDiffView:
        await self._stores.prompt_for(context, message.prompt_id)
        before = await self._stores.versions.get(message.prompt_id, message.from_version)
        after = await self._stores.versions.get(message.prompt_id, message.to_version)
        return await anyio.to_thread.run_sync(compare, before, after)
