"""The states of a job."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """As stored. An available job with a future `run_at` is shown to people as `scheduled` or `retrying`."""

    WAITING = "waiting"
    """For jobs that must complete first."""
    AVAILABLE = "available"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    """Taken back by somebody, or discarded by its handler or an operator."""
    DEAD = "dead"
    """Failed for good: an operator retries or discards it."""


LIVE_STATES = frozenset({JobState.WAITING, JobState.AVAILABLE, JobState.RUNNING})
FINAL_STATES = frozenset({JobState.COMPLETED, JobState.CANCELLED, JobState.DEAD})
ANY_STATE = frozenset(JobState)
