"""How jobs, queues and schedules are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from promptforge.actors.jobs.messages import (
    AttemptErrorView,
    EndedJob,
    JobDetailView,
    JobView,
    QueueView,
    RateView,
    ShownState,
    TimelineEntry,
)
from promptforge.core.jobs import FINAL_STATES, Job, JobState, Queue, QueueStats


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
        snoozed=job.snoozed,
        owner_id=job.owner_id,
        request_id=job.request_id,
        batch_id=job.batch_id,
        waits_for=job.waits_for,
        progress=job.progress,
        progress_message=job.progress_message,
        cancel_requested=job.cancel_requested,
        run_at=job.run_at,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        errors=tuple(AttemptErrorView(error.attempt, error.at, error.error, error.detail) for error in job.errors),
    )


def detail_of(job: Job, now: datetime, *, with_arguments: bool) -> JobDetailView:
    sensitive = isinstance(job.payload, bytes)
    arguments: dict[str, Any] | None = job.payload if with_arguments and not sensitive else None
    view = view_of(job, now)
    return JobDetailView(
        **{field.name: getattr(view, field.name) for field in fields(JobView)},
        sensitive=sensitive,
        arguments=arguments,
        result=None if sensitive or isinstance(job.result, bytes) else job.result,
        timeline=timeline_of(job),
    )


def ended_of(job_ids: Iterable[str], found: Sequence[Job]) -> tuple[EndedJob, ...]:
    """`found`: those of the jobs that there are."""
    known = {job.id for job in found}
    gone = [EndedJob(job_id, None, None) for job_id in job_ids if job_id not in known]
    over = [job for job in found if job.state in FINAL_STATES]
    return (*gone, *(EndedJob(job.id, job.state, _last_error(job), job.finished_at) for job in over))


def _last_error(job: Job) -> str | None:
    return job.errors[-1].error if job.errors else None


def timeline_of(job: Job) -> tuple[TimelineEntry, ...]:
    """From what the document keeps: its making, each failed attempt, the last start and the end."""
    entries = [TimelineEntry(job.created_at, "enqueued", "")]
    if job.started_at is not None:
        entries.append(TimelineEntry(job.started_at, "started", f"attempt {max(job.attempt, 1)}"))
    entries += [TimelineEntry(error.at, "failed", f"attempt {error.attempt}: {error.error}") for error in job.errors]
    if job.finished_at is not None:
        entries.append(TimelineEntry(job.finished_at, job.state.value, ""))
    elif job.state is JobState.AVAILABLE and job.attempt:
        entries.append(TimelineEntry(job.run_at, "due", f"attempt {job.attempt + 1}"))
    return tuple(sorted(entries, key=lambda entry: entry.at))


def queue_view(queue: Queue, stats: QueueStats) -> QueueView:
    return QueueView(
        queue=queue.name,
        paused=queue.paused,
        fair=queue.fair,
        concurrency=queue.concurrency,
        global_limit=queue.global_limit,
        rate=None if queue.rate is None else RateView(queue.rate.count, queue.rate.seconds),
        waiting=stats.counts.get(JobState.WAITING, 0),
        available=stats.counts.get(JobState.AVAILABLE, 0),
        running=stats.counts.get(JobState.RUNNING, 0),
        dead=stats.counts.get(JobState.DEAD, 0),
        oldest_seconds=round(stats.oldest_seconds, 3),
    )
