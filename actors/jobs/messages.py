"""Looking at jobs and acting on them: operators all of them, everyone else looks at their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Len
from pydantic import MISSING

from promptforge.core.clock import Instant
from promptforge.core.jobs import Action, JobState, Missed
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role

JobId = Annotated[str, Len(1, 128)]
Name = Annotated[str, Len(1, 100)]


class ShownState(StrEnum):
    """A job's state as people see it."""

    WAITING = "waiting"
    AVAILABLE = "available"
    SCHEDULED = "scheduled"
    RETRYING = "retrying"
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
    """A job without its arguments. `attempt` counts the attempts begun, `lost` those that ended with their process,
    `snoozed` those that asked for another time. `progress` is in percent. `waits_for`: jobs that must complete first.
    """

    id: str
    kind: str
    queue: str
    state: ShownState
    priority: int
    attempt: int
    max_attempts: int
    lost: int
    snoozed: int
    owner_id: str | None
    request_id: str
    batch_id: str | None
    waits_for: tuple[str, ...]
    progress: float | None
    progress_message: str | None
    cancel_requested: bool
    run_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    errors: tuple[AttemptErrorView, ...]


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Something that happened to the job, oldest first."""

    at: datetime
    event: str
    detail: str


@dataclass(frozen=True, slots=True)
class JobDetailView(JobView):
    """A job with what it answered.

    `arguments` are shown to operators only; both are null where the kind is sensitive.
    """

    sensitive: bool
    arguments: dict[str, Any] | None
    result: Any
    timeline: tuple[TimelineEntry, ...]


@dataclass(frozen=True, slots=True)
class RateView:
    """At most `count` jobs started in `seconds`, over all processes."""

    count: Annotated[int, Ge(1), Le(1_000_000)]
    seconds: Annotated[float, Gt(0), Le(86_400)]


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue and how full it is. `oldest_seconds`: how long the first due job has been waiting."""

    queue: str
    paused: bool
    fair: bool
    concurrency: int
    global_limit: int | None
    rate: RateView | None
    waiting: int
    available: int
    running: int
    dead: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class QueuesView:
    items: tuple[QueueView, ...]


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule in cron's notation, read in `zone`. `missed`: what happens to ticks that nobody was there for."""

    name: str
    cron: str
    zone: str
    missed: Missed
    kind: str
    last_tick: datetime | None
    next_tick: datetime | None


@dataclass(frozen=True, slots=True)
class SchedulesView:
    items: tuple[ScheduleView, ...]


@dataclass(frozen=True, slots=True)
class BatchView:
    """Jobs enqueued together; `done` once all of them have ended, whichever way."""

    id: str
    total: int
    done: bool
    counts: dict[JobState, int]
    owner_id: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class BulkView:
    """`changed` of the `matched` jobs; `more`: call again, one call changes 10,000 at most."""

    matched: int
    changed: int
    more: bool


@dataclass(frozen=True, slots=True)
class TriggeredView:
    job_id: str


@requires(scope="jobs:read")
class GetJob(Query[JobDetailView]):
    """Read one job. Operators can read every job, others only their own."""

    job_id: JobId


@requires(scope="jobs:read")
class ListJobs(Query[Page[JobView]]):
    """List jobs, newest first. Operators see every job, others only their own.

    `available` includes the scheduled and the retrying. `owner_id` is for operators.
    """

    state: JobState | None = None
    kind: Name | None = None
    queue: Name | None = None
    owner_id: Name | None = None
    batch_id: Name | None = None
    created_after: Instant | None = None
    created_before: Instant | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="jobs:read")
class GetBatch(Query[BatchView]):
    """Read one batch. Operators can read every batch, others only their own."""

    batch_id: JobId


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:write")
class RetryJob(Command[JobView]):
    """Run a dead or cancelled job again from its first attempt, or a scheduled one now."""

    job_id: JobId


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:write")
class CancelJob(Command[JobView]):
    """Cancel a job. One that runs is interrupted; until it has ended it shows `cancel_requested`."""

    job_id: JobId


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:write")
class DiscardJob(Command[JobView]):
    """Put a dead job aside."""

    job_id: JobId


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:write")
class ChangeJobs(Command[BulkView]):
    """Retry, cancel or discard every job that fits all of the given conditions; at least one has to be given."""

    action: Action
    state: JobState | None = None
    kind: Name | None = None
    queue: Name | None = None
    owner_id: Name | None = None
    batch_id: Name | None = None
    created_after: Instant | None = None
    created_before: Instant | None = None


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:read")
class ListQueues(Query[QueuesView]):
    """List the queues, how full they are and how they are set."""


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:write")
class PauseQueue(Command[QueueView]):
    """Claim no more jobs of a queue: at once in the process that is asked, in the others when they hear of it.

    What they have claimed by then, or are claiming at that moment, is carried out.
    """

    queue: Name


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:write")
class ResumeQueue(Command[QueueView]):
    """Start jobs of a paused queue again."""

    queue: Name


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:write")
class ChangeQueue(Command[QueueView]):
    """Change how many jobs of a queue run at once, in each process and over all of them, and how often they start.

    What is not sent stays; null takes a limit away.
    """

    queue: Name
    concurrency: Annotated[int, Ge(1), Le(1000)] | MISSING = MISSING
    global_limit: Annotated[int, Ge(1), Le(100_000)] | MISSING | None = MISSING
    rate: RateView | MISSING | None = MISSING


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:read")
class ListSchedules(Query[SchedulesView]):
    """List what is done by the clock."""


@requires(Role.OPERATOR, Role.ADMIN, scope="jobs:write")
class TriggerSchedule(Command[TriggeredView]):
    """Do now what a schedule does at its ticks."""

    name: Name


# For other features


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that nobody will run any more, unless an operator retries it. `state` is null where it is gone.

    `error` is the code of the last attempt that failed, where one did.
    """

    job_id: str
    state: JobState | None
    error: str | None
    ended_at: datetime | None = None


@internal
class FindEndedJobs(Query[tuple[EndedJob, ...]]):
    """Those of these jobs that have ended, whichever way, and those that are not kept any more."""

    job_ids: Annotated[tuple[str, ...], Len(1, 1000)]
