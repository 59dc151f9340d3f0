"""The job document: its shape, and the indexes it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from promptforge.core.jobs.states import FINAL_STATES, JobState
from promptforge.core.mongo import Index
from promptforge.core.personal import Held, Subject, nobody

JOBS = "jobs"
PROCESSES = "processes"
QUEUES = "job_queues"
SCHEDULES = "job_schedules"
BATCHES = "job_batches"
SIGNALS = "job_signals"

BY_ID = "_id_"
"""The index that every write to known jobs uses."""
RELEASED = {"claim": "", "process": ""}
"""Unset when a job leaves the process that ran it."""
OVER = {"batch_live": ""}
"""Unset as well when it ends."""
KEEP_BATCH = timedelta(days=7)
KEPT_ERRORS = 100
"""Attempts are at most this many, so every one's error is kept."""

INDEXED_STATES = (JobState.CANCELLED, JobState.DEAD, JobState.RUNNING, JobState.WAITING)
"""Each index that an update touches costs about a fifth of the update: the available and the completed are found by
other indexes."""

INDEXES: dict[str, tuple[Index, ...]] = {
    JOBS: (
        # Claims, and with each priority given, the next job that is due. `due_at` is there while a job is available.
        Index((("lane", 1), ("priority", 1), ("due_at", 1), ("_id", 1)), partial={"due_at": {"$exists": True}}),
        Index((("unique_key", 1),), unique=True, partial={"unique_key": {"$exists": True}}),
        Index((("waits_for", 1),), partial={"waits_for": {"$exists": True}}),
        Index((("batch_live", 1),), partial={"batch_live": {"$exists": True}}),
        Index((("batch_id", 1),), partial={"batch_id": {"$exists": True}}),
        Index((("expire_at", 1),), partial={"expire_at": {"$exists": True}}, ttl_seconds=0),
        # The console and the rescue. The states that every job passes through quickly or ends in are not in it.
        Index(
            (("state", 1), ("queue", 1), ("created_at", -1), ("_id", -1)),
            partial={"state": {"$in": [state.value for state in INDEXED_STATES]}},
        ),
        Index((("owner_id", 1), ("created_at", -1), ("_id", -1)), partial={"owner_id": {"$exists": True}}),
        Index((("created_at", -1), ("_id", -1))),
    ),
    PROCESSES: (Index((("heartbeat_at", 1),), ttl_seconds=24 * 3600),),
    QUEUES: (),
    SCHEDULES: (),
    SIGNALS: (Index((("at", 1),), ttl_seconds=3600),),
    BATCHES: (
        Index((("state", 1),), partial={"state": "open"}),
        Index((("owner_id", 1),)),
        Index((("expire_at", 1),), partial={"expire_at": {"$exists": True}}, ttl_seconds=0),
    ),
}
LISTINGS = "marketplace_listings"
PACKAGES = "packages"
"""Others are told the titles of what somebody sells, and the names of packages."""
ENDED = {"state": {"$in": sorted(state.value for state in FINAL_STATES)}}
"""What still has to be done may be for others: it ends soon, and goes with a second look."""
HELD = {
    JOBS: Held(
        "Work that you asked for and that is not done, or was not long ago",
        (
            Subject("principal_id", deleted=True, where=ENDED),
            Subject("owner_id", deleted=True, where=ENDED),
            Subject("payload.user_id", deleted=True, where=ENDED, exported=False),
            Subject("payload.seller_id", deleted=True, where=ENDED, exported=False),
            Subject("payload.listing_id", of=LISTINGS, deleted=True, where=ENDED, exported=False),
            Subject("payload.subject.listing_id", of=LISTINGS, deleted=True, where=ENDED, exported=False),
            Subject("payload.subject.package_id", of=PACKAGES, deleted=True, where=ENDED, exported=False),
        ),
        plain=frozenset({"*"}),
        secret=frozenset({"payload", "result", "errors"}),
    ),
    PROCESSES: nobody("Processes of the service"),
    QUEUES: nobody("Queues of jobs"),
    SCHEDULES: nobody("When what is done again is due"),
    BATCHES: Held("Batches of jobs", (Subject("owner_id", deleted=True),), plain=frozenset({"*"})),
    SIGNALS: nobody("Signals between processes"),
}


@dataclass(frozen=True, slots=True)
class JobError:
    """Why an attempt failed: the error's code or type and its message, never a payload."""

    attempt: int
    at: datetime
    error: str
    detail: str


@dataclass(slots=True)
class Job:
    """A job as read from the store. `attempt` counts the attempts begun; `claim` fences what a worker writes.

    `lost` counts the attempts that ended with their process, `snoozed` those that asked for another time.
    """

    id: str
    queue: str
    kind: str
    version: int
    state: JobState
    priority: int
    run_at: datetime
    attempt: int
    max_attempts: int
    payload: Any
    owner_id: str | None
    principal_id: str | None
    request_id: str
    trace_id: str
    claim: str | None
    process: str | None
    lost: int
    snoozed: int
    errors: tuple[JobError, ...]
    result: Any
    progress: float | None
    progress_message: str | None
    cancel_requested: bool
    batch_id: str | None
    waits_for: tuple[str, ...]
    unique_key: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def lane_of(queue: str, fair: bool, owner_id: str | None) -> str:  # noqa: FBT001  # a queue's property
    """Under which key a job is claimed: its queue, and in a fair queue its owner too."""
    return f"{queue}/{owner_id or ''}" if fair else queue


def job_from(row: dict[str, Any]) -> Job:
    """Read a document; fields that later versions add are passed over."""
    get = row.get
    errors = get("errors")
    return Job(
        row["_id"],
        row["queue"],
        row["kind"],
        row["version"],
        JobState(row["state"]),
        row["priority"],
        row["run_at"],
        row["attempt"],
        row["max_attempts"],
        get("payload"),
        get("owner_id"),
        get("principal_id"),
        row["request_id"],
        row["trace_id"],
        get("claim"),
        get("process"),
        get("lost", 0),
        get("snoozed", 0),
        tuple(JobError(**error) for error in errors) if errors else (),
        get("result"),
        get("progress"),
        get("progress_message"),
        get("cancel_requested", False),
        get("batch_id"),
        tuple(get("waits_for", ())),
        get("unique_key"),
        row["created_at"],
        get("started_at"),
        get("finished_at"),
    )


def expiry(now: datetime, keep: timedelta | None) -> dict[str, datetime]:
    """The field that lets MongoDB remove the document; none for what is kept for ever."""
    return {} if keep is None else {"expire_at": now + keep}
