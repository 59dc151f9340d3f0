"""Jobs put into the database by hand, in states that no feature would leave them in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.collection import Collection

from promptforge.core.ids import new_id

Jobs = Collection[dict[str, Any]]


def put(jobs: Jobs, **fields: Any) -> str:
    """A job of a kind that nobody handles, so that it stays as it is."""
    now = datetime.now(UTC)
    later = now + timedelta(hours=1)
    job = {
        "_id": new_id("job"),
        "queue": "default",
        "lane": "default",
        "kind": "tests.nothing",
        "version": 1,
        "state": "available",
        "priority": 0,
        "run_at": later,
        "attempt": 0,
        "max_attempts": 10,
        "payload": {"secret": "arguments"},
        "request_id": "req_tests",
        "trace_id": "",
        "created_at": now,
        **fields,
    }
    if job["state"] == "available":
        job["due_at"] = job["run_at"]
    jobs.insert_one(job)
    return str(job["_id"])


def dead(jobs: Jobs, **fields: Any) -> str:
    now = datetime.now(UTC)
    error = {"attempt": 10, "at": now, "error": "unavailable", "detail": "Nobody there"}
    times = {"created_at": now, "started_at": now, "finished_at": now}
    return put(jobs, **{"state": "dead", "attempt": 10, "errors": [error], **times, **fields})
