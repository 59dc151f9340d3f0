"""The job document: its states, its shape, and the indexes it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from promptforge.core.mongo import Index

JOBS = "jobs"
PROCESSES = "processes"


class JobState(StrEnum):
    """As stored. An available job with a future `run_at` is shown to people as `scheduled` or `retrying`."""

    AVAILABLE = "available"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"


LIVE = (JobState.AVAILABLE.value, JobState.RUNNING.value)

INDEXES: dict[str, tuple[Index, ...]] = {
    JOBS: (
        Index(
            (("queue", 1), ("priority", 1), ("run_at", 1), ("_id", 1)),
            partial={"state": JobState.AVAILABLE.value},
        ),
        Index((("queue", 1), ("run_at", 1)), partial={"state": JobState.AVAILABLE.value}),
        Index((("process", 1),), partial={"state": JobState.RUNNING.value}),
        Index(
            (("unique_key", 1),), unique=True, partial={"unique_key": {"$exists": True}, "state": {"$in": list(LIVE)}}
        ),
        Index((("expire_at", 1),), ttl_seconds=0),
        Index((("owner_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("state", 1), ("created_at", -1), ("_id", -1))),
        Index((("created_at", -1), ("_id", -1))),
    ),
    PROCESSES: (Index((("heartbeat_at", 1),), ttl_seconds=24 * 3600),),
}


@dataclass(frozen=True, slots=True)
class JobError:
    """Why an attempt failed: the error's code or type and its message, never a payload."""

    attempt: int
    at: datetime
    error: str
    detail: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as read from the store. `attempt` counts the attempts begun; `claim` fences what a worker writes."""

    id: str
    queue: str
    kind: str
    version: int
    state: JobState
    priority: int
    run_at: datetime
    attempt: int
    max_attempts: int
    payload: dict[str, Any]
    owner_id: str | None
    principal_id: str | None
    request_id: str
    trace_id: str
    claim: str | None
    process: str | None
    lost: int
    errors: tuple[JobError, ...]
    result: Any
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def job_from(row: dict[str, Any]) -> Job:
    """Read a document; fields that later versions add are passed over."""
    return Job(
        id=row["_id"],
        queue=row["queue"],
        kind=row["kind"],
        version=row["version"],
        state=JobState(row["state"]),
        priority=row["priority"],
        run_at=row["run_at"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        payload=row["payload"],
        owner_id=row.get("owner_id"),
        principal_id=row.get("principal_id"),
        request_id=row["request_id"],
        trace_id=row["trace_id"],
        claim=row.get("claim"),
        process=row.get("process"),
        lost=row.get("lost", 0),
        errors=tuple(JobError(**error) for error in row.get("errors", ())),
        result=row.get("result"),
        created_at=row["created_at"],
        started_at=row.get("started_at"),
        finished_at=row.get("finished_at"),
    )
