"""What operators see: the process that answers them, and the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Ge, Len

from promptforge.core.audit import AuditEntry, SealReport
from promptforge.core.clock import Instant
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.runtime import ActorState, DeadLetterReason


@dataclass(frozen=True, slots=True)
class InFlightView:
    """A message being handled; `waiting_on` names the actor it is asking right now."""

    kind: str
    key: str | None
    elapsed_seconds: float
    waiting_on: str | None


@dataclass(frozen=True, slots=True)
class ActorView:
    """One actor now. Durations are upper bounds of quantiles since the process started, in seconds."""

    name: str
    state: ActorState
    critical: bool
    workers: int
    depth: int
    high_water_mark: int
    mailbox_size: int
    in_flight: tuple[InFlightView, ...]
    handled: int
    failed: int
    expired: int
    rejected: int
    abandoned: int
    restarts: int
    last_crash: str | None
    wait_p50_seconds: float
    wait_p99_seconds: float
    run_p50_seconds: float
    run_p99_seconds: float


@dataclass(frozen=True, slots=True)
class ActorsView:
    actors: tuple[ActorView, ...]


@dataclass(frozen=True, slots=True)
class DeadLetterView:
    """A message nobody handled, without its content."""

    at: datetime
    reason: DeadLetterReason
    kind: str
    actor: str
    request_id: str


@dataclass(frozen=True, slots=True)
class DeadLettersView:
    """The last 256, newest first, and the totals by reason since the process started."""

    counts: dict[str, int]
    letters: tuple[DeadLetterView, ...]


@requires(Role.OPERATOR, Role.ADMIN, scope="operations:read")
class ListActors(Query[ActorsView]):
    """Show every actor of the answering process: state, mailbox, what is in flight, counters and times."""


@requires(Role.OPERATOR, Role.ADMIN, scope="operations:read")
class ListDeadLetters(Query[DeadLettersView]):
    """Show the messages of the answering process that nobody handled, and why."""


Word = Annotated[str, Len(1, 128)]


@requires(Role.OPERATOR, Role.ADMIN, scope="audit:read")
class ListAuditLog(Query[Page[AuditEntry]]):
    """Show who did what, newest first: every privileged action and every one that moves money.

    `user_id` is who acted, `target` the id of what was acted upon.
    """

    user_id: Word | None = None
    action: Word | None = None
    target: Word | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.OPERATOR, Role.ADMIN, scope="audit:read")
class VerifyAuditLog(Query[SealReport]):
    """Hash the audit log again and compare it with its seals: whether anything was changed or removed since.

    One request looks at up to 200 seals (of at most 1,000 entries each) from `after` on; `next` is where to go on.
    """

    after: Annotated[int, Ge(0)] = 0


@internal
class SealAuditLog(Command[int]):
    """Seal the entries that have settled; answers how many."""
