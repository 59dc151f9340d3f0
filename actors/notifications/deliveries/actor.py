"""Ends the deliveries whose jobs have ended without them: an operator cancelled the job, or it died."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from promptforge.actors.jobs.messages import EndedJob, FindEndedJobs
from promptforge.actors.notifications.deliveries.domain import Delivery, GivenUp
from promptforge.actors.notifications.deliveries.messages import SweepDeliveries
from promptforge.actors.notifications.deliveries.store import DeliveryStore
from promptforge.core.context import Context
from promptforge.core.jobs import JobState
from promptforge.core.runtime import Actor, handles

log = structlog.get_logger(__name__)

AT_ONCE = 500
UNSEEN = timedelta(days=2)
"""No job of a delivery takes so long, and what has ended is kept for longer: one that is not there is gone."""


class DeliveriesActor(Actor):
    name = "deliveries"
    asks = ("jobs",)

    def __init__(self, deliveries: DeliveryStore) -> None:
        self._deliveries = deliveries

    @handles(SweepDeliveries)
    async def sweep(self, message: SweepDeliveries, context: Context) -> int:
        """The deliveries are read before their jobs are: what is asked for once more meanwhile has another job."""
        ended, after = 0, None
        while page := await self._deliveries.list_pending(after=after, limit=AT_ONCE):
            jobs = await self._ended_jobs(page, context)
            for delivery in page:
                given_up = _given_up(delivery, jobs.get(delivery.job_id), context.now())
                if given_up is not None and await self._deliveries.give_up(delivery, given_up):
                    log.warning("delivery.orphaned", delivery_id=delivery.id, reason=given_up.reason)
                    ended += 1
            after = page[-1]
        return ended

    async def _ended_jobs(self, page: list[Delivery], context: Context) -> dict[str | None, EndedJob]:
        known = tuple(one.job_id for one in page if one.job_id is not None)
        found = await context.ask(FindEndedJobs(job_ids=known)) if known else ()
        return {job.job_id: job for job in found}


def _given_up(delivery: Delivery, job: EndedJob | None, now: datetime) -> GivenUp | None:
    """None while somebody may still send it. A job that completed has ended its delivery by itself, just now."""
    if job is not None and job.state is JobState.CANCELLED:
        return GivenUp("job_cancelled", job.error, job.ended_at or now)
    if job is not None and job.state is JobState.DEAD:
        return GivenUp("job_died", job.error, job.ended_at or now)
    if job is not None and job.state is not None:
        return None
    gone = job is not None or delivery.job_id is None
    return GivenUp("job_lost", None, now) if gone and now - delivery.asked_at > UNSEEN else None
