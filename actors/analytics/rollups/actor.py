"""Adds up events."""

from __future__ import annotations

from functools import partial

from promptforge.actors.analytics.rollups.messages import FoldEvents
from promptforge.actors.analytics.rollups.store import EventRollups
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles

AT_ONCE = 10
"""Batches in one transaction, or fewer where they have many sums."""


class RollupsActor(Actor):
    name = "rollups"
    workers = 2

    def __init__(self, rollups: EventRollups) -> None:
        self._rollups = rollups

    @handles(FoldEvents)
    async def fold(self, message: FoldEvents, context: Context) -> int:
        """What becomes due meanwhile is left to the next time: this ends."""
        now, folded = context.now(), 0
        while ids := await self._rollups.list_due(now, AT_ONCE):
            folded += await context.transaction(partial(self._fold, ids))
        return folded

    async def _fold(self, ids: list[str], tx: Context) -> int:
        return await self._rollups.fold(ids, now=tx.now(), session=tx.session)
