"""Whose jobs run may lose the right to have them done: a job that lasts is ended then, and judged anew.

A handler gets its principal as it is when it begins, and judges it there: it refuses, or does what a suspended account
may have done all the same. So whatever runs when an account is suspended or closed is interrupted and given back, as
when a process stops; no attempt is counted, and the next one begins with the rights as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

import anyio
import structlog

from promptforge.core.errors import PromptForgeError, Stopping
from promptforge.core.jobs.policy import JobPolicy
from promptforge.core.principal import Principal

LOOK_SECONDS = 10.0

log = structlog.get_logger(__name__)

FindPrincipal = Callable[[str], Awaitable[Principal | None]]


class Lasting(Protocol):
    """What is asked of a run; `principal` is as it was when the run began, None where it runs as nobody."""

    policy: JobPolicy
    principal: Principal | None
    reason: PromptForgeError | None

    def interrupt(self, reason: PromptForgeError) -> None: ...


class Standing:
    """`runs` answers what runs in this process, `find_principal` how somebody's rights stand now."""

    def __init__(self, runs: Callable[[], Collection[Lasting]], find_principal: FindPrincipal) -> None:
        self._runs = runs
        self._find_principal = find_principal

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> int:
        """Interrupt what runs for those who were suspended, or closed, since it began; answers how many runs."""
        of: dict[str, list[Lasting]] = {}
        for run in self._runs():
            judged = run.policy.looks_itself or run.reason is not None
            if run.principal is not None and not run.principal.suspended and not judged:
                of.setdefault(run.principal.user_id, []).append(run)
        interrupted = 0
        for user_id, runs in of.items():
            if await self._may_go_on(user_id):
                continue
            for run in runs:
                run.interrupt(Stopping("Whose job this is was suspended or has left: it is judged anew"))
            interrupted += len(runs)
        if interrupted:
            log.info("jobs.judged_anew", count=interrupted)
        return interrupted

    async def _may_go_on(self, user_id: str) -> bool:
        """As it was where it cannot be read: one person's document must keep nobody else from being looked at."""
        try:
            now = await self._find_principal(user_id)
        except PromptForgeError as error:
            log.warning("jobs.standing_not_looked_at", reason=error.code, user_id=user_id)
            return True
        except Exception:  # it must not end the runner's other loops
            log.exception("jobs.standing_failed", user_id=user_id)
            return True
        return now is not None and not now.suspended
