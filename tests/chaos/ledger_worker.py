"""The process that the chaos of jobs is done to: a runner, and an actor with a ledger, on a clock that may be wrong."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import anyio
import structlog

from promptforge.core.clock import SystemClock
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor, handles
from tests.support.processes import job_process

DATABASE = "chaos"
EFFECTS = "effects"


@internal
class Append(Command[None]):
    """Append one line to the ledger."""

    number: int


class SkewedClock(SystemClock):
    """A machine whose clock is wrong by so many seconds."""

    def __init__(self, skew_seconds: float) -> None:
        self._skew = timedelta(seconds=skew_seconds)

    def now(self) -> datetime:
        return super().now() + self._skew


class LedgerActor(Actor):
    name = "ledger"

    def __init__(self, mongo: Mongo) -> None:
        self._effects = mongo.collection(EFFECTS)

    @handles(Append, atomic=True)
    async def append(self, message: Append, context: Context) -> None:
        """The id is a new one each time, so that a second effect would show."""
        line = {"_id": new_id("lin"), "number": message.number}
        await self._effects.insert_one(line, session=context.session)


def work(url: str, skew_seconds: float) -> None:
    """Run jobs until killed; the target of a process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    anyio.run(_work, url, skew_seconds)


async def _work(url: str, skew_seconds: float) -> None:
    mongo = await Mongo.connect(url, DATABASE)
    async with job_process(mongo, [LedgerActor(mongo)], with_feed=True, clock=SkewedClock(skew_seconds)):
        await anyio.sleep_forever()
