"""Keeps one actor alive: start, workers, restart with backoff, and an orderly stop.

A handler's exception is no crash; a failed start, a broken loop or a broken worker is. The mailbox survives a restart.
More than five crashes in thirty seconds and the actor stays down; a critical one takes the process with it. A start
that fails because MongoDB is away is waited out as `degraded` and never counted.
"""

from __future__ import annotations

import math
from collections import deque
from contextvars import copy_context
from random import Random

import anyio
import structlog

from promptforge.core.context import Context
from promptforge.core.errors import Stopping, Unavailable
from promptforge.core.runtime.cell import Cell
from promptforge.core.runtime.telemetry import ActorState

MAX_CRASHES = 5
CRASH_WINDOW_SECONDS = 30.0
BACKOFF_START_SECONDS = 0.1
BACKOFF_MAX_SECONDS = 5.0
STOP_HOOK_SECONDS = 5.0

log = structlog.get_logger(__name__)


class CriticalActorFailed(RuntimeError):
    """A critical actor stays down; the process must end with a non-zero code."""


class Supervisor:
    """Runs one cell until `request_stop`; `settled` is set once its first start has gone well or failed."""

    def __init__(self, cell: Cell, context: Context, rng: Random) -> None:
        self.cell = cell
        self.settled = anyio.Event()
        self.stopped = anyio.Event()
        self.last_crash: str | None = None
        self._context = context
        self._rng = rng
        self._stop_requested = anyio.Event()
        self._stop_deadline = math.inf
        self._crashes: deque[float] = deque()
        self._degraded_in_a_row = 0

    def request_stop(self, deadline: float) -> None:
        """Take no new messages, finish those that wait until `deadline` (monotonic), then stop."""
        self._stop_deadline = min(self._stop_deadline, deadline)
        if self.cell.state is not ActorState.FAILED:
            self.cell.state = ActorState.STOPPING
        self._stop_requested.set()

    async def run(self) -> None:
        """The whole life of the actor. Raises `CriticalActorFailed` where it is critical and stays down."""
        try:
            while not self._stop_requested.is_set():
                crash = await self._live_once()
                self.settled.set()
                if crash is None:
                    break
                if not self._survives(crash):
                    await self._fail()
                    return
                await self._back_off()
        finally:
            self.cell.abandon_waiting(Stopping())
            if self.cell.state is not ActorState.FAILED:
                self.cell.state = ActorState.STOPPED
            self.settled.set()
            self.stopped.set()

    async def _live_once(self) -> BaseException | None:
        """Start and serve until stopped (None) or crashed (why)."""
        cell = self.cell
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._end_when_asked, tasks.cancel_scope)
                await cell.actor.start(self._context)
                if not self._stop_requested.is_set():
                    cell.state = ActorState.RUNNING
                self._degraded_in_a_row = 0
                self.settled.set()
                # A worker is started by whoever first needs it, and must not begin with their context variables.
                own = copy_context()
                cell.staff(lambda: own.run(tasks.start_soon, cell.work))
                tasks.start_soon(cell.actor.run, self._context)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as crash:  # noqa: BLE001  # whatever ended the actor is a crash; see _reason
            return self._reason(crash)
        finally:
            cell.staff(None)
            with anyio.move_on_after(STOP_HOOK_SECONDS, shield=True):
                await self._stop_hook()
        return None

    async def _end_when_asked(self, scope: anyio.CancelScope) -> None:
        """Drain and end the life of the actor; runs beside the workers so that a full mailbox cannot keep it out."""
        await self._stop_requested.wait()
        with anyio.CancelScope(deadline=self._stop_deadline):
            await self.cell.until_quiet()
        scope.cancel()

    async def _stop_hook(self) -> None:
        try:
            await self.cell.actor.stop()
        except Exception:  # the actor is going anyway: say it, and go on stopping
            log.exception("actor.stop_failed", actor=self.cell.name)

    def _reason(self, crash: BaseException) -> BaseException:
        """The first real cause inside task groups' exception groups; a request to end the process is passed on."""
        while isinstance(crash, BaseExceptionGroup):
            crash = crash.exceptions[0]
        if isinstance(crash, (KeyboardInterrupt, SystemExit)):
            raise crash
        return crash

    def _survives(self, crash: BaseException) -> bool:
        self.last_crash = f"{type(crash).__name__}: {crash}"
        if isinstance(crash, Unavailable):
            self._degraded_in_a_row += 1
            self.cell.state = ActorState.DEGRADED
            log.warning("actor.degraded", actor=self.cell.name, reason=self.last_crash)
            return True
        now = anyio.current_time()
        self._crashes.append(now)
        while self._crashes and self._crashes[0] <= now - CRASH_WINDOW_SECONDS:
            self._crashes.popleft()
        self.cell.counters.restarts += 1
        log.error("actor.crashed", actor=self.cell.name, crashes=len(self._crashes), exc_info=crash)
        if len(self._crashes) > MAX_CRASHES:
            return False
        if not self._stop_requested.is_set():
            self.cell.state = ActorState.RESTARTING
        return True

    async def _back_off(self) -> None:
        exponent = max(len(self._crashes), self._degraded_in_a_row) - 1
        longest = min(BACKOFF_START_SECONDS * 2.0**exponent, BACKOFF_MAX_SECONDS)
        with anyio.move_on_after(longest * self._rng.uniform(0.5, 1.0)):
            await self._stop_requested.wait()

    async def _fail(self) -> None:
        self.cell.state = ActorState.FAILED
        self.cell.abandon_waiting(Stopping(f"{self.cell.name} keeps failing and is down"))
        self.settled.set()
        log.critical("actor.failed", actor=self.cell.name, reason=self.last_crash, critical=self.cell.actor.critical)
        if self.cell.actor.critical:
            raise CriticalActorFailed(f"{self.cell.name}: {self.last_crash}")
        await self._stop_requested.wait()
