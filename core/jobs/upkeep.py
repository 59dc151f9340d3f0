"""What every process does beside running jobs: say that it lives, give back what others left, fire schedules."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Protocol

import anyio
import structlog

from promptforge.core.errors import DATABASE_AWAY
from promptforge.core.jobs.holdings import Holdings
from promptforge.core.jobs.store import MongoJobStore
from promptforge.core.runtime import System

HEARTBEAT_SECONDS = 5.0
SWEEP_EVERY_BEATS = 6
RETRY_SECONDS = 1.0
LONGEST_TICK_SLEEP_SECONDS = 30.0

log = structlog.get_logger(__name__)


class Upkept(Protocol):
    """What the upkeep tells the runner."""

    def wake_all(self) -> None:
        """Jobs of any queue may have become due."""
        ...

    def cancel(self, job_id: str) -> None:
        """The job is to be cancelled."""
        ...

    def lease_lost(self) -> None:
        """Others have this process's jobs by now."""
        ...


class Upkeep:
    """Three loops, each of which outlives whatever goes wrong in one of its turns."""

    def __init__(self, store: MongoJobStore, system: System, holdings: Holdings, runner: Upkept) -> None:
        self._store = store
        self._system = system
        self._holdings = holdings
        self._runner = runner

    async def beat(self) -> None:
        """Heartbeat, rescue, reconcile, queues and cancellations, every 5 s."""
        beats = 0
        while True:
            try:
                await self.beat_once(beats)
            except DATABASE_AWAY as error:
                log.warning("jobs.heartbeat_failed", reason=str(error))
            except Exception:  # without a heartbeat the others would take this process for dead
                log.exception("jobs.upkeep_failed")
            beats += 1
            await anyio.sleep(HEARTBEAT_SECONDS)

    async def beat_once(self, beats: int) -> None:
        store = self._store
        if not await store.processes.heartbeat():
            self._runner.lease_lost()
        await store.queues.refresh()
        store.claims.processes = await store.processes.count_alive()
        rescued = await store.processes.reconcile(self._holdings) + await store.processes.rescue()
        if rescued:
            store.telemetry.rescued += rescued
            log.warning("jobs.rescued", count=rescued)
            self._runner.wake_all()
        for job_id in await store.console.to_be_cancelled(store.processes.id):
            self._runner.cancel(job_id)
        if beats % SWEEP_EVERY_BEATS == 0:
            await store.dependents.sweep()

    async def fire_schedules(self) -> None:
        schedules = self._store.schedules
        context = self._system.context(request_id="cron", timeout_seconds=math.inf, trusted=True)
        while True:
            seconds = min(max(schedules.seconds_to_next(), 0.01), LONGEST_TICK_SLEEP_SECONDS)
            await anyio.sleep(seconds)
            try:
                await schedules.fire_due(context)
            except DATABASE_AWAY as error:
                log.warning("jobs.schedule_failed", reason=str(error))
                await anyio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("jobs.schedules_failed")
                await anyio.sleep(RETRY_SECONDS)

    async def refresh_queues(self) -> None:
        """An operator changed a queue: read them again, now."""
        with suppress(*DATABASE_AWAY):  # then the next heartbeat reads them
            await self._store.queues.refresh()
