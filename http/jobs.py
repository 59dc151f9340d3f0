"""Jobs: operators see all of them, everyone else their own."""

from __future__ import annotations

from promptforge.actors.jobs.messages import GetJob, ListJobs
from promptforge.http.routing import get

routes = [
    get("/jobs", ListJobs),
    get("/jobs/{job_id}", GetJob),
]
