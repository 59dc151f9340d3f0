"""Durable jobs: persisted messages in MongoDB, claimed with a lease and handed to the same actors as any other."""

from promptforge.core.jobs.codec import Codec
from promptforge.core.jobs.console import Action, BatchStatus, BulkOutcome, QueueStats, Record
from promptforge.core.jobs.documents import INDEXES, Job, JobError
from promptforge.core.jobs.following import follow_jobs
from promptforge.core.jobs.outcomes import Discard, PayloadTooLarge, RetryAfter, Snooze
from promptforge.core.jobs.policy import Backoff, JobPolicy, Unique, job, policy_of
from promptforge.core.jobs.queues import Queue, Rate
from promptforge.core.jobs.runner import JobRunner
from promptforge.core.jobs.schedules import Missed, Schedule, ScheduleStatus
from promptforge.core.jobs.sealing import Sealer
from promptforge.core.jobs.server_clock import DocumentClock
from promptforge.core.jobs.states import ANY_STATE, FINAL_STATES, LIVE_STATES, JobState
from promptforge.core.jobs.store import MongoJobStore

__all__ = [
    "ANY_STATE",
    "FINAL_STATES",
    "INDEXES",
    "LIVE_STATES",
    "Action",
    "Backoff",
    "BatchStatus",
    "BulkOutcome",
    "Codec",
    "Discard",
    "DocumentClock",
    "Job",
    "JobError",
    "JobPolicy",
    "JobRunner",
    "JobState",
    "Missed",
    "MongoJobStore",
    "PayloadTooLarge",
    "Queue",
    "QueueStats",
    "Rate",
    "Record",
    "RetryAfter",
    "Schedule",
    "ScheduleStatus",
    "Sealer",
    "Snooze",
    "Unique",
    "follow_jobs",
    "job",
    "policy_of",
]
