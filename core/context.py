"""The context of one message being handled: who asks, until when, under which ids, in which transaction.

A context is made at the edge (or by the job runner) and derived, never changed, for every nested ask: the deadline only
gets smaller, and a transaction's session reaches exactly the handlers asked inside it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, Unpack

from promptforge.core.deeds import Deed
from promptforge.core.errors import ConfigurationError
from promptforge.core.messages import Message
from promptforge.core.principal import Principal

if TYPE_CHECKING:
    from promptforge.core.jobs.policy import Unique
    from promptforge.core.mongo import Session
    from promptforge.core.runtime.cell import Cell, Envelope
    from promptforge.core.runtime.system import JobStore, System

T = TypeVar("T")

current_context: ContextVar[Context | None] = ContextVar("promptforge_context", default=None)
"""The context of the message that the running task handles; read by the log processor, by nothing else."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """Which job a message is being handled for: its id, which attempt this is, counted from 1, and how often it asked
    for another time before (`Snooze`).
    """

    job_id: str
    attempt: int
    snoozed: int = 0


class JobHandle(Protocol):
    """What the handler of a running job can do to the job itself."""

    async def complete(self, session: Session, result: object) -> None:
        """Complete the job in the transaction; raises `ClaimLost` where another process has it by now."""
        ...

    def committed(self) -> None:
        """The transaction of `complete` has committed."""
        ...

    def report_progress(self, percent: float, message: str | None) -> None: ...


class RequestHandle(Protocol):
    """What a request asks of the command that it sends, beside the reply: a precondition, a reply that is kept.

    `effect_id` is the same whenever the same effect is asked for again; None where the sender named none. A handler
    with effects outside MongoDB makes its own ids from it, and so finds what an attempt before it has begun.
    """

    @property
    def effect_id(self) -> str | None: ...

    def begin(self) -> None:
        """The command is being carried out."""
        ...

    async def check(self, tx: Context) -> None:
        """Raise where the precondition does not hold, as seen in the effect's own transaction."""
        ...

    async def complete(self, session: Session | None, result: object) -> None:
        """Keep the reply, in the effect's own transaction where it has one."""
        ...

    async def abandon(self) -> None:
        """The command failed, and nothing of it has happened."""
        ...


class JobOptions(TypedDict, total=False):
    """How a message is enqueued. What is not given comes from the message's `JobPolicy`.

    `queue`; `priority` (-10 to 10, lower runs sooner); `run_at` or `delay_seconds`; `max_attempts`; `owner_id`: whose
    job it is to look at (default: the principal's); `unique`: no second job while this one counts, and a bare string
    means while it is live; `after`: ids of jobs that must have completed first; `job_id`: an id of the caller's choice,
    which raises `DuplicateKey` where it exists.
    """

    queue: str
    priority: int
    run_at: datetime
    delay_seconds: float
    max_attempts: int
    owner_id: str
    unique: Unique | str
    after: Sequence[str]
    job_id: str


class Context:
    """See the module. `deadline` is on the system clock's monotonic scale; `math.inf` where nobody waits."""

    __slots__ = (
        "cell",
        "deadline",
        "envelope",
        "job",
        "job_handle",
        "on_attempt_end",
        "on_commit",
        "principal",
        "request_handle",
        "request_id",
        "session",
        "system",
        "trace_id",
        "trusted",
    )

    def __init__(
        self,
        system: System,
        *,
        request_id: str,
        trace_id: str = "",
        principal: Principal | None = None,
        deadline: float = math.inf,
        trusted: bool = False,
        job: JobInfo | None = None,
    ) -> None:
        self.system = system
        self.request_id = request_id
        self.trace_id = trace_id
        self.principal = principal
        self.deadline = deadline
        self.trusted = trusted
        """Set for whoever may send internal messages: actors, the job runner, the process itself."""
        self.job = job
        self.job_handle: JobHandle | None = None
        self.request_handle: RequestHandle | None = None
        self.session: Session | None = None
        self.on_commit: list[Callable[[], None]] | None = None
        self.on_attempt_end: list[Callable[[], None]] | None = None
        self.cell: Cell | None = None
        self.envelope: Envelope | None = None

    @property
    def user_id(self) -> str:
        """The internal id of the signed-in principal. Only for handlers of messages that require one."""
        if self.principal is None:
            raise RuntimeError("this message is handled without a principal; its requirement does not ask for one")
        return self.principal.user_id

    @property
    def effect_id(self) -> str | None:
        """See `RequestHandle`."""
        return None if self.request_handle is None else self.request_handle.effect_id

    def now(self) -> datetime:
        """The present moment, UTC, in whole milliseconds."""
        return self.system.clock.now()

    async def ask(self, message: Message[T], *, timeout_seconds: float | None = None) -> T:
        """Send and wait for the reply.

        Raises what the handler raises, `DeadlineExceeded`, `MailboxFull`, `Stopping`, or what the message's requirement
        says of this principal. Inside a transaction the handler runs here and now, in that transaction.
        """
        return await self.system.dispatch(message, self, timeout_seconds)

    def tell(self, message: Message[Any]) -> bool:
        """Send and forget: it may be lost with the process. False where the mailbox is full (a dead letter then)."""
        if self.session is not None:
            raise RuntimeError("tell inside a transaction cannot be taken back when it aborts: enqueue instead")
        return self.system.post(message, self)

    async def enqueue(self, message: Message[Any], **options: Unpack[JobOptions]) -> str:
        """Store the message as a job, in this context's transaction where there is one; answers the job's id.

        It is handled at least once. Where `unique` finds a job already, that one's id is answered. Raises
        `PayloadTooLarge`, `UnknownQueue` or, with too many callers waiting, `MailboxFull`.
        """
        return await self._jobs.enqueue(message, self, options)

    async def enqueue_many(self, messages: Iterable[Message[Any]], **options: Unpack[JobOptions]) -> list[str]:
        """Store many messages as jobs, in this order; answers their ids.

        In a transaction all or nothing. Outside one they are written 1,000 at a time, and an error says how many were.
        """
        return await self._jobs.enqueue_many(messages, self, options)

    async def enqueue_batch(
        self, messages: Sequence[Message[Any]], *, callback: Message[Any] | None = None, **options: Unpack[JobOptions]
    ) -> str:
        """Store up to 10,000 messages as one batch, all or nothing; answers the batch's id.

        Once every job of it has ended, whichever way, `callback` is enqueued, once.
        """
        return await self._jobs.enqueue_batch(messages, self, callback, options)

    async def audit(
        self,
        action: str,
        target: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        session: Session | None = None,
    ) -> None:
        """Keep who did what in the audit log, in the action's transaction: this context's, or the one of `session`.

        `target` is the id of what was acted upon. `before` and `after` hold what has changed, no secrets and no texts.
        """
        session = session or self.session
        if session is None:
            raise RuntimeError("an action and its entry in the audit log are one transaction")
        if self.system.audit_log is None:
            raise ConfigurationError("this process has no audit log")
        await self.system.audit_log.record(self, session, Deed(action, target, before, after))

    def report_progress(self, percent: float, message: str | None = None) -> None:
        """Say how far this job is (0 to 100). Kept at most twice a second; does nothing where this is no job."""
        if self.job_handle is not None:
            self.job_handle.report_progress(percent, message)

    @property
    def _jobs(self) -> JobStore:
        if self.system.jobs is None:
            raise ConfigurationError("this process has no job store")
        return self.system.jobs

    async def transaction(
        self, work: Callable[[Context], Awaitable[T]], *, completes: bool = False, turn: str | None = None
    ) -> T:
        """Run `work` in one MongoDB transaction and answer what it answers.

        `work` gets a context that carries the session, and may run several times: no foreign side effects. Inside
        another transaction it joins that one. With `completes` this is all that the message does: where it is a job,
        the job is completed in the same commit with what `work` answers as its result, and nothing it does afterwards
        counts; where a request wants its reply kept, that is what is kept, in the same commit too.

        `turn` names what it is about to write: this process's transactions with the same name go one after the other,
        where they would only have conflicted and begun again.
        """
        if self.session is not None:
            return await work(self)
        if self.system.transactions is None:
            raise ConfigurationError("this process has no database")
        commits: list[Callable[[], None]] = []
        ends: list[Callable[[], None]] = []

        async def attempt(session: Session) -> T:
            _call_all(ends)
            commits.clear()
            inner = self.derive()
            inner.session = session
            inner.on_commit = commits
            inner.on_attempt_end = ends
            request = self.request_handle if completes else None
            if request is not None:
                await request.check(inner)
            answer = await work(inner)
            if completes and self.job_handle is not None:
                await self.job_handle.complete(session, answer)
            if request is not None:
                await request.complete(session, answer)
            return answer

        try:
            async with self._turn(turn):
                result = await self.system.transactions(attempt, deadline=self.deadline)
            if completes and self.job_handle is not None:
                self.job_handle.committed()
            if completes:
                self.request_handle = None
            _call_all(commits)
        finally:
            _call_all(ends)
        return result

    def _turn(self, name: str | None) -> AbstractAsyncContextManager[None]:
        if name is None:
            return nullcontext()
        return self.system.turns.taken(name, seconds=self.deadline - self.system.monotonic())

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once this context's transaction has committed; at once where there is none."""
        if self.on_commit is None:
            callback()
        else:
            self.on_commit.append(callback)

    def after_attempt(self, callback: Callable[[], None]) -> None:
        """Call `callback` once this attempt at the transaction is over, whichever way. Only inside a transaction."""
        if self.on_attempt_end is None:
            raise RuntimeError("there is no transaction whose attempt could end")
        self.on_attempt_end.append(callback)

    def outliving(self, seconds: float) -> Context:
        """A context for work that goes on after this message is handled, for at most so long: a stream's, say.

        It stands for nobody's job and nobody's request any more.
        """
        copy = self.derive()
        copy.deadline = self.system.monotonic() + seconds
        copy.job_handle = None
        copy.request_handle = None
        return copy

    def derive(self) -> Context:
        """A copy to be changed by the runtime before anyone else sees it."""
        copy = Context.__new__(Context)
        copy.system = self.system
        copy.request_id = self.request_id
        copy.trace_id = self.trace_id
        copy.principal = self.principal
        copy.deadline = self.deadline
        copy.trusted = self.trusted
        copy.job = self.job
        copy.job_handle = self.job_handle
        copy.request_handle = self.request_handle
        copy.session = self.session
        copy.on_commit = self.on_commit
        copy.on_attempt_end = self.on_attempt_end
        copy.cell = self.cell
        copy.envelope = self.envelope
        return copy


def _call_all(callbacks: list[Callable[[], None]]) -> None:
    """Each once."""
    while callbacks:
        callbacks.pop(0)()
