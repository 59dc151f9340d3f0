"""What a handler raises to say how its job goes on, and what enqueueing and completing can fail with."""

from __future__ import annotations

from promptforge.core.errors import Conflict, PromptForgeError, Unavailable


class Snooze(Unavailable):
    """Run this job again after `seconds`, without counting the attempt: it is not the time yet."""

    code = "not_the_time_yet"
    title = "It is not the time for this yet"

    def __init__(self, seconds: float, detail: str | None = None) -> None:
        super().__init__(detail, retry_after_seconds=seconds)
        self.seconds = seconds


class RetryAfter(Unavailable):
    """This attempt failed; the next one is after `seconds` instead of the policy's backoff."""

    code = "try_again_later"
    title = "This did not work now; it is tried again later"

    def __init__(self, seconds: float, detail: str | None = None) -> None:
        super().__init__(detail, retry_after_seconds=seconds)
        self.seconds = seconds


class Discard(Conflict):
    """There is nothing to do any more: the job ends as cancelled, with the reason, and nobody is troubled."""

    code = "discarded"
    title = "There is nothing left to do"


class JobCancelled(Conflict):
    """The running job was cancelled; raised by the runner, not by handlers."""

    code = "job_cancelled"
    title = "The job was cancelled"


class ClaimLost(PromptForgeError):
    """This process was taken for dead and another one has the job: nothing of this attempt may be written."""

    code = "claim_lost"
    title = "The job belongs to another process by now"


class AttemptTimedOut(Unavailable):
    code = "attempt_timed_out"
    title = "The attempt took longer than its kind allows"


class PayloadTooLarge(PromptForgeError):
    """Jobs carry references, not contents."""

    code = "payload_too_large"
    status = 413
    title = "The job's payload is too large: store the content and enqueue its id"


class UnknownQueue(PromptForgeError):
    """No process would work on a job in this queue: a mistake in the code."""

    code = "unknown_queue"
    title = "There is no such queue"


class PartlyEnqueued(Unavailable):
    """A bulk enqueue outside a transaction stopped on the way; at least `stored` jobs of it exist."""

    code = "partly_enqueued"
    title = "Not all jobs could be stored"

    def __init__(self, stored: int) -> None:
        super().__init__(f"At least {stored} jobs were stored before the database stopped answering")
        self.stored = stored
