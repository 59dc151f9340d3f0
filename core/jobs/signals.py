"""Signals between processes about single jobs: "somebody cancelled these", "there is work again".

Changes of job documents themselves are too many for the change stream: making an event of each would cost MongoDB more
than the job. So a signal is a document of its own, written in the transaction that it tells of.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.core.ids import new_id
from promptforge.core.jobs.documents import SIGNALS
from promptforge.core.jobs.server_clock import ServerClock
from promptforge.core.mongo import Mongo, Session


class Signals:
    def __init__(self, mongo: Mongo, clock: ServerClock) -> None:
        self._signals = mongo.collection(SIGNALS)
        self._clock = clock

    async def work(self, session: Session) -> None:
        """Jobs have become available, in whatever queue."""
        await self._signals.insert_one({"_id": new_id("sig"), "at": self._clock.now()}, session=session)

    async def cancelled(self, job_ids: Sequence[str], session: Session) -> None:
        """These jobs are to be interrupted wherever they run."""
        signal = {"_id": new_id("sig"), "at": self._clock.now(), "cancelled": list(job_ids)}
        await self._signals.insert_one(signal, session=session)
