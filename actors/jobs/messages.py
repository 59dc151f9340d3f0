"""Looking at jobs: operators see all of them, everyone else their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len

from promptforge.core.messages import Query, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page

JobId = Annotated[str, Len(1, 64)]


class ShownState(StrEnum):
    """A job's state as people see it."""

    AVAILABLE = "available"
    SCHEDULED = "scheduled"
    RETRYING = "retrying"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"


class StoredState(StrEnum):
    """The states one can filter by; `available` includes the scheduled and the retrying."""

    AVAILABLE = "available"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class AttemptErrorView:
    """Why one attempt failed: `error` is a stable code, `detail` a sentence."""

    attempt: int
    at: datetime
    error: str
    detail: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job without its payload. `attempt` counts the attempts begun, `lost` those that ended with their process."""

    id: str
    kind: str
    queue: str
    state: ShownState
    priority: int
    attempt: int
    max_attempts: int
    lost: int
    owner_id: str | None
    request_id: str
    run_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    errors: tuple[AttemptErrorView, ...]


@requires(scope="jobs:read")
class GetJob(Query[JobView]):
    """Read one job. Operators can read every job, others only their own."""

    job_id: JobId


@requires(scope="jobs:read")
class ListJobs(Query[Page[JobView]]):
    """List jobs, newest first. Operators see every job, others only their own."""

    state: StoredState | None = None
    kind: Annotated[str, Len(1, 100)] | None = None
    queue: Annotated[str, Len(1, 100)] | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None
