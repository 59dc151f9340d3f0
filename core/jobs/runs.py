"""One attempt at a job in this process: what the actor's worker answers to, and the handler's grip on its job."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from promptforge.core.jobs.documents import Job
from promptforge.core.jobs.endings import Endings
from promptforge.core.jobs.lanes import Lane
from promptforge.core.jobs.policy import JobPolicy
from promptforge.core.mongo import Session
from promptforge.core.principal import Principal
from promptforge.core.runtime.cell import InterruptibleRun

LARGEST_PERCENT = 100.0


class Run(InterruptibleRun):
    """The runtime's handle on the attempt and the context's `job_handle`, in one object."""

    __slots__ = (
        "_encode",
        "_endings",
        "_finished",
        "completed_in_transaction",
        "failure",
        "job",
        "lane",
        "policy",
        "principal",
        "progress",
        "started_at",
    )

    def __init__(
        self,
        job: Job,
        lane: Lane,
        policy: JobPolicy,
        started_at: float,
        *,
        endings: Endings,
        encode: Callable[[object], Any],
        finished: Callable[[Run], None],
    ) -> None:
        super().__init__(policy.timeout_seconds)
        self.job = job
        self.lane = lane
        self.policy = policy
        self.started_at = started_at
        self.failure: Exception | None = None
        """Why it never reached its actor."""
        self.principal: Principal | None = None
        """As whom it runs, once its actor has it."""
        self.completed_in_transaction = False
        self.progress: tuple[float, str | None] | None = None
        """Reported and not yet written."""
        self._endings = endings
        self._encode = encode
        self._finished = finished

    def answered(self) -> None:
        self._finished(self)

    # The job's handle

    async def complete(self, session: Session, result: object) -> None:
        """See `JobHandle`. May run several times, with the transaction; what counts is that it committed."""
        await self._endings.complete_in(self.job, self.keep_completed, self._encode(result), session)

    def committed(self) -> None:
        self.completed_in_transaction = True

    def report_progress(self, percent: float, message: str | None) -> None:
        if not math.isfinite(percent):
            raise ValueError(f"{percent} is no percentage")
        self.progress = (min(max(percent, 0.0), LARGEST_PERCENT), message[:200] if message else None)

    @property
    def keep_completed(self) -> timedelta | None:
        return self.policy.keep_completed

    @property
    def value(self) -> object:
        return self.envelope.value if self.envelope is not None else None

    @property
    def error(self) -> BaseException | None:
        return self.envelope.error if self.envelope is not None else self.failure

    def fail(self, error: Exception) -> None:
        """It never reached its actor."""
        self.failure = error
        self.set()
