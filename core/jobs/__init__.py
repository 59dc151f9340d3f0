"""Durable jobs: persisted messages in MongoDB, claimed with a lease and handed to the same actors as any other."""

from promptforge.core.jobs.codec import Codec
from promptforge.core.jobs.documents import INDEXES, Job, JobError, JobState
from promptforge.core.jobs.runner import JobRunner
from promptforge.core.jobs.store import MongoJobStore

__all__ = ["INDEXES", "Codec", "Job", "JobError", "JobRunner", "JobState", "MongoJobStore"]
