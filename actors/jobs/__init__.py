"""Job status for owners and operators."""

from promptforge.actors.jobs.actor import JobsActor
from promptforge.actors.jobs.messages import GetJob, JobView, ListJobs

__all__ = ["GetJob", "JobView", "JobsActor", "ListJobs"]
