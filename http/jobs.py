"""Jobs: operators see and steer all of them, everyone else sees their own."""

from __future__ import annotations

from promptforge.actors.jobs.messages import (
    CancelJob,
    ChangeJobs,
    ChangeQueue,
    DiscardJob,
    GetBatch,
    GetJob,
    ListJobs,
    ListQueues,
    ListSchedules,
    PauseQueue,
    ResumeQueue,
    RetryJob,
    TriggerSchedule,
)
from promptforge.core.errors import Conflict
from promptforge.http.routing import get, live, patch, post

routes = [
    get("/jobs", ListJobs),
    live("/jobs/stream", ListJobs, name="StreamJobs"),
    post("/jobs/bulk", ChangeJobs),
    get("/jobs/queues", ListQueues),
    live("/jobs/queues/stream", ListQueues, name="StreamQueues"),
    patch("/jobs/queues/{queue}", ChangeQueue),
    post("/jobs/queues/{queue}/pause", PauseQueue),
    post("/jobs/queues/{queue}/resume", ResumeQueue),
    get("/jobs/schedules", ListSchedules),
    post("/jobs/schedules/{name}/trigger", TriggerSchedule, status=202, location="/jobs/{job_id}"),
    get("/jobs/batches/{batch_id}", GetBatch),
    get("/jobs/{job_id}", GetJob),
    live("/jobs/{job_id}/stream", GetJob, name="StreamJob"),
    post("/jobs/{job_id}/retry", RetryJob, errors=(Conflict,)),
    post("/jobs/{job_id}/cancel", CancelJob, errors=(Conflict,)),
    post("/jobs/{job_id}/discard", DiscardJob, errors=(Conflict,)),
]
