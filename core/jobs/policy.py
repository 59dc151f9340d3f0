"""How a kind of message behaves as a job, declared on the message, and how a job can be unique."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any, TypedDict, TypeVar, Unpack

from promptforge.core.jobs.states import LIVE_STATES, JobState
from promptforge.core.messages import Message

MessageT = TypeVar("MessageT", bound="type[Message[Any]]")

LEAST_PRIORITY, MOST_PRIORITY = -10, 10
MAX_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts: `first` × `factor`ⁿ, at most `longest`, between half and all of it."""

    first: float = 1.0
    factor: float = 3.0
    longest: float = 3600.0

    def seconds(self, attempt: int, rng: Random) -> float:
        """How long to wait after failed attempt number `attempt`, from 1."""
        ceiling = min(self.first * self.factor ** min(attempt - 1, 64), self.longest)
        return ceiling * rng.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class JobPolicy:
    """`timeout_seconds` is for one attempt. A `keep_…` of None keeps the job for ever.

    `sensitive`: the payload and the result are encrypted at rest and never shown. `looks_itself`: its handler sees by
    itself when whoever it runs for is suspended, and ends it well; others are interrupted (`Standing`).
    With the default figures the tenth attempt starts some hours after the first: long enough to outlive an outage.
    """

    queue: str = "default"
    priority: int = 0
    max_attempts: int = 10
    timeout_seconds: float = 60.0
    backoff: Backoff = Backoff()
    keep_completed: timedelta | None = timedelta(hours=24)
    keep_dead: timedelta | None = timedelta(days=7)
    sensitive: bool = False
    looks_itself: bool = False

    def keep(self, state: JobState) -> timedelta | None:
        """How long a job that ended in `state` is kept."""
        return self.keep_dead if state is JobState.DEAD else self.keep_completed


DEFAULT_POLICY = JobPolicy()


class PolicyFields(TypedDict, total=False):
    """See `JobPolicy`."""

    queue: str
    priority: int
    max_attempts: int
    timeout_seconds: float
    backoff: Backoff
    keep_completed: timedelta | None
    keep_dead: timedelta | None
    sensitive: bool
    looks_itself: bool


def job(**fields: Unpack[PolicyFields]) -> Callable[[MessageT], MessageT]:
    """Declare on a message how it runs as a job: `@job(queue="mail", max_attempts=20, timeout_seconds=10)`."""
    policy = replace(DEFAULT_POLICY, **fields)
    if not LEAST_PRIORITY <= policy.priority <= MOST_PRIORITY or not 1 <= policy.max_attempts <= MAX_ATTEMPTS:
        raise TypeError("a priority is from -10 to 10, and attempts from 1 to 100")

    def declare(message: MessageT) -> MessageT:
        message.job_policy = policy
        return message

    return declare


def policy_of(message: type[Message[Any]]) -> JobPolicy:
    policy = message.job_policy
    return policy if isinstance(policy, JobPolicy) else DEFAULT_POLICY


@dataclass(frozen=True, slots=True)
class Unique:
    """While a job with this `key` is in one of `states`, enqueueing another answers that one's id.

    `period_seconds`: and only for so long after it was enqueued. To have something at most once an hour, even after
    it completed: `Unique(key, period_seconds=3600, states=ANY_STATE)`.
    """

    key: str
    period_seconds: float | None = None
    states: frozenset[JobState] = LIVE_STATES
