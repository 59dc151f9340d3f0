"""One piece to be sent: one notification, to one person, by one channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from promptforge.actors.notifications.deliveries.messages import DeliveryState

KEPT = timedelta(days=30)
MOST_ATTEMPTS_KEPT = 30
MAIL = "email"


@dataclass(frozen=True, slots=True)
class Attempt:
    """`outcome` is a status, or a word for why there was none."""

    at: datetime
    outcome: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Why nobody sends it any more: `job_died`, `job_cancelled` or `job_lost`. `error` is its job's last one."""

    reason: str
    error: str | None
    at: datetime


JOB_ENDED = frozenset({"job_died", "job_cancelled"})
"""Where an operator has the job tried once more, it is sent after all."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """`event_id` is the notification's id, or the delivery's own where it is a test.

    `channel` is `email`, or a webhook's id. `failures` counts since it was last asked for (`asked_at`). `job_id` makes
    its attempts; nobody knows that of one from before this was written down. `sent_to` is the address of a mail that
    went out. `error`: what its job ended with, where that was not a receiver's failure.
    """

    id: str
    event_id: str
    user_id: str
    channel: str
    kind: str
    state: DeliveryState
    reason: str | None
    failures: int
    attempts: tuple[Attempt, ...]
    created_at: datetime
    ended_at: datetime | None
    job_id: str | None
    sent_to: str | None
    asked_at: datetime
    error: str | None = None

    @property
    def is_test(self) -> bool:
        return self.event_id == self.id

    @property
    def pending(self) -> bool:
        return self.state is DeliveryState.PENDING

    def is_left_to(self, job_id: str) -> bool:
        """Whether this job makes the attempts: what is asked for once more has another, and this sends nothing."""
        return self.job_id is None or self.job_id == job_id
