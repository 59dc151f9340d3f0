"""What an attempt's answer means for its job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import structlog

from promptforge.core.errors import DeadlineExceeded, MailboxFull, OutcomeUnknown, PromptForgeError, Stopping
from promptforge.core.jobs.codec import UndecodablePayload, UnknownKind
from promptforge.core.jobs.endings import Ending
from promptforge.core.jobs.outcomes import AttemptTimedOut, ClaimLost, Discard, JobCancelled, RetryAfter, Snooze
from promptforge.core.jobs.states import JobState
from promptforge.core.jobs.telemetry import Outcome

if TYPE_CHECKING:
    from promptforge.core.jobs.runs import Run
    from promptforge.core.jobs.store import MongoJobStore

UNKNOWN_KIND_SECONDS = 30.0
OVERLOAD_SECONDS = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ending` is None where nothing may be written."""

    outcome: Outcome
    ending: Ending | None


def verdict_of(run: Run, store: MongoJobStore, rng: Random) -> Verdict:
    job, error = run.job, run.error
    if error is None:
        kind = store.codec.message_type(job.kind)
        result = None if kind is None else store.codec.encode_result(kind, run.value)
        return Verdict(Outcome.COMPLETED, Ending(job, JobState.COMPLETED, run.policy.keep_completed, result))
    if isinstance(error, ClaimLost):
        log.warning("job.claim_lost", job_id=job.id, kind=job.kind)
        return Verdict(Outcome.CLAIM_LOST, None)
    if isinstance(error, (JobCancelled, Discard)):
        cancelled = isinstance(error, JobCancelled)
        ending = Ending(job, JobState.CANCELLED, run.policy.keep_completed, error=error.code, detail=error.detail)
        return Verdict(Outcome.CANCELLED if cancelled else Outcome.DISCARDED, ending)
    if isinstance(error, Snooze):
        return Verdict(Outcome.SNOOZED, _later(run, store, error.seconds, attempt_counts=False, snoozed=True))
    if isinstance(error, (UnknownKind, MailboxFull, Stopping)):
        delay = UNKNOWN_KIND_SECONDS if isinstance(error, UnknownKind) else OVERLOAD_SECONDS
        if isinstance(run.reason, Stopping):  # this process stops, or has lost it: others may have it at once
            delay = 0.0
        return Verdict(Outcome.HANDED_BACK, _later(run, store, delay, attempt_counts=False))
    return _failed(run, store, rng, error)


def _failed(run: Run, store: MongoJobStore, rng: Random, error: BaseException) -> Verdict:
    job = run.job
    final = job.attempt >= job.max_attempts or isinstance(error, UndecodablePayload)
    delay = run.policy.backoff.seconds(job.attempt, rng)
    if isinstance(error, DeadlineExceeded) and run.reason is error:
        error = AttemptTimedOut(f"It took longer than {run.policy.timeout_seconds:g} seconds")
    if isinstance(error, PromptForgeError):
        name, detail = error.code, error.detail
        # A job runs at least once anyway, so what may or may not have happened is simply done again.
        final = final or not (error.retryable or isinstance(error, OutcomeUnknown))
        delay = error.seconds if isinstance(error, RetryAfter) else max(delay, error.retry_after_seconds or 0.0)
    else:  # an exception's text may quote what it was working on: it goes to the log of this process only
        name, detail = type(error).__name__, "An unexpected error: see the log under this request id"
    log.warning(
        "job.failed",
        job_id=job.id,
        kind=job.kind,
        attempt=job.attempt,
        error=name,
        final=final,
        request_id=job.request_id,
        exc_info=None if isinstance(error, PromptForgeError) else error,
    )
    if final:
        return Verdict(Outcome.DEAD, Ending(job, JobState.DEAD, run.policy.keep_dead, error=name, detail=detail))
    return Verdict(Outcome.RETRIED, _later(run, store, delay, error=name, detail=detail))


def _later(
    run: Run,
    store: MongoJobStore,
    seconds: float,
    *,
    error: str | None = None,
    detail: str = "",
    attempt_counts: bool = True,
    snoozed: bool = False,
) -> Ending:
    return Ending(
        run.job,
        JobState.AVAILABLE,
        run_at=store.clock.now() + timedelta(seconds=seconds),
        error=error,
        detail=detail,
        attempt_counts=attempt_counts,
        snoozed=snoozed,
    )
