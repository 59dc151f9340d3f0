"""How a stored job is shown."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.jobs.messages import AttemptErrorView, JobView, ShownState
from promptforge.core.jobs import Job, JobState


def shown_state(job: Job, now: datetime) -> ShownState:
    """An available job whose time has not come is `retrying` after a failed attempt and `scheduled` before any."""
    if job.state is JobState.AVAILABLE and job.run_at > now:
        return ShownState.RETRYING if job.errors else ShownState.SCHEDULED
    return ShownState(job.state.value)


def view_of(job: Job, now: datetime) -> JobView:
    return JobView(
        id=job.id,
        kind=job.kind,
        queue=job.queue,
        state=shown_state(job, now),
        priority=job.priority,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        lost=job.lost,
        owner_id=job.owner_id,
        request_id=job.request_id,
        run_at=job.run_at,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        errors=tuple(AttemptErrorView(error.attempt, error.at, error.error, error.detail) for error in job.errors),
    )
