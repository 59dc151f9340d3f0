"""Events that were added up before there were coarse sums of them get these, a month of an owner at a time."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.analytics.rollups.store import EventRollups
from promptforge.core.mongo import Mongo, Session, run_transaction


async def make_coarse_sums(mongo: Mongo) -> None:
    """Any number of times, and while others add events up: each month is made anew from its days."""
    rollups, after = EventRollups(mongo), None
    while found := await rollups.next_month(after):

        async def rebuild(session: Session, month: tuple[str, datetime] = found) -> None:
            await rollups.rebuild(*month, session=session)

        await run_transaction(mongo, rebuild)
        after = found
