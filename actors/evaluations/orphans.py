"""Evaluations whose job has ended without them: an operator cancelled it, or it died.

The state is written first, so that whoever may still be at work on the evaluation writes no result any more. Then what
its runs hold is given back, which nobody could write a result for after that. Then it is summed up. A process that dies
in between leaves it `unsettled`, and the next sweep goes on with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import structlog

from promptforge.actors.ai.messages import ReleaseRuns
from promptforge.actors.evaluations.domain import summarise
from promptforge.actors.evaluations.messages import EvaluationFailure, EvaluationStatus, EvaluationView
from promptforge.actors.evaluations.scoring import make_ready
from promptforge.actors.evaluations.store import EvaluationStore
from promptforge.actors.jobs.messages import EndedJob, FindEndedJobs
from promptforge.core.context import Context
from promptforge.core.jobs import JobState

log = structlog.get_logger(__name__)

AT_ONCE = 200
KEPT = timedelta(hours=1)
"""Jobs that have ended are kept for longer. One of a younger evaluation that is not there is not seen yet."""


async def settle_orphans(store: EvaluationStore, context: Context) -> int:
    """Answers how many there were."""
    settled = 0
    async for evaluation_id, job in _orphans(store, context):
        await _settle(store, evaluation_id, job, context)
        log.warning("evaluation.orphaned", evaluation_id=evaluation_id, job_state=job.state, error=job.error)
        settled += 1
    return settled


async def sum_up(store: EvaluationStore, evaluation: EvaluationView, tx: Context) -> None:
    """Keep the summary of the results that there are; with it the evaluation is settled."""
    results = await store.list_without_output(evaluation.id, session=tx.session)
    summary = summarise(results, make_ready(evaluation.scorers))
    await store.keep_summary(evaluation.id, summary, session=tx.session)


async def _orphans(store: EvaluationStore, context: Context) -> AsyncIterator[tuple[str, EndedJob]]:
    after = ""
    while page := await store.list_unsettled(after=after, limit=AT_ONCE):  # read before their jobs are
        ended = await context.ask(FindEndedJobs(job_ids=tuple(one.job_id for one in page)))
        by_job = {job.job_id: job for job in ended if job.state is not JobState.COMPLETED}  # settled in that commit
        for one in page:
            job = by_job.get(one.job_id)
            if job is not None and (job.state is not None or context.now() - one.created_at > KEPT):
                yield one.id, job
        after = page[-1].id


async def _settle(store: EvaluationStore, evaluation_id: str, job: EndedJob, context: Context) -> None:
    status, failure = _verdict(job)
    now = context.now()
    await context.transaction(lambda tx: store.end(evaluation_id, status, now=now, failure=failure, session=tx.session))
    await context.ask(ReleaseRuns(prefix=f"{evaluation_id}:"))

    async def work(tx: Context) -> None:
        await sum_up(store, await store.get(evaluation_id, session=tx.session), tx)

    await context.transaction(work)


def _verdict(job: EndedJob) -> tuple[EvaluationStatus, EvaluationFailure]:
    if job.state is JobState.CANCELLED:
        detail = "An operator cancelled its job. What it has done is kept; start another one for the rest"
        return EvaluationStatus.CANCELLED, EvaluationFailure("job_cancelled", detail)
    why = f" ({job.error})" if job.error else ""
    detail = f"Its job failed again and again, and was given up{why}. What it has done is kept"
    return EvaluationStatus.FAILED, EvaluationFailure("job_died", detail)
