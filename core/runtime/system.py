"""The actor system of one process: binds messages to handlers, carries asks and tells, starts and drains the actors."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import structlog

from promptforge.core.clock import Clock, SystemClock
from promptforge.core.context import Context, JobInfo, JobOptions
from promptforge.core.errors import ConfigurationError, OutcomeUnknown, PromptForgeError, Stopping, Unavailable
from promptforge.core.messages import Access, Message
from promptforge.core.principal import Principal
from promptforge.core.runtime.actor import Actor, Handles
from promptforge.core.runtime.cell import Binding, Cell, Envelope, InterruptibleRun
from promptforge.core.runtime.deadlines import Deadlines
from promptforge.core.runtime.permissions import authorise
from promptforge.core.runtime.supervisor import Supervisor
from promptforge.core.runtime.telemetry import (
    ActorSnapshot,
    ActorState,
    DeadLetter,
    DeadLetterReason,
    DeadLetters,
    InFlight,
)
from promptforge.core.runtime.topology import dependencies_first
from promptforge.core.runtime.turns import Turns
from promptforge.core.runtime.wake import Wake, wake_factory

if TYPE_CHECKING:
    from promptforge.core.audit import AuditLog
    from promptforge.core.mongo import Session

T = TypeVar("T")
log = structlog.get_logger(__name__)

DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_GRACE_SECONDS = 20.0


class Transactions(Protocol):
    """Runs work in a MongoDB transaction with retries; `deadline` is monotonic."""

    async def __call__(self, work: Callable[[Session], Awaitable[T]], *, deadline: float) -> T: ...


class JobStore(Protocol):
    """Where enqueued messages go; see `Context.enqueue` and the methods after it."""

    async def enqueue(self, message: Message[Any], context: Context, options: JobOptions) -> str: ...

    async def enqueue_many(
        self, messages: Iterable[Message[Any]], context: Context, options: JobOptions
    ) -> list[str]: ...

    async def enqueue_batch(
        self, messages: Sequence[Message[Any]], context: Context, callback: Message[Any] | None, options: JobOptions
    ) -> str: ...


class UnhandledMessage(PromptForgeError):
    """No actor of this process handles the message: a mistake in the wiring."""

    code = "unhandled_message"


class System:
    """Made once per process; `async with system.running()` is its life.

    Raises `ConfigurationError` at once for two handlers of one message, a handled message without a declared
    requirement, an unknown name in `asks`, or a circle of asks.
    """

    def __init__(
        self,
        actors: Sequence[Actor],
        *,
        clock: Clock | None = None,
        rng: Random | None = None,
        transactions: Transactions | None = None,
        jobs: JobStore | None = None,
        audit_log: AuditLog | None = None,
        default_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self.clock = clock or SystemClock()
        self.transactions = transactions
        self.jobs = jobs
        self.audit_log = audit_log
        self.turns = Turns()
        self.dead_letters = DeadLetters()
        self.deadlines = Deadlines(lambda envelope, error: envelope.binding.cell.expire(envelope, error))
        self.new_wake: Callable[[], Wake] = anyio.Event
        self.draining = False
        self._default_timeout = default_timeout_seconds
        self._rng = rng or Random()  # noqa: S311  # jitter only
        self._actors = dependencies_first(actors)
        self._cells = [Cell(actor, self) for actor in self._actors]
        self._bindings = self._bind()
        self._at_hand = {message: call for actor in self._actors for message, call in actor.shortcuts().items()}
        self._supervisors: dict[str, Supervisor] = {}
        self.monotonic = self.clock.monotonic
        self.refuses_roots = False

    def _bind(self) -> dict[type[Message[Any]], Binding]:
        bindings: dict[type[Message[Any]], Binding] = {}
        for cell in self._cells:
            for method, declared in type(cell.actor).handlers().items():
                message = declared.message
                if message in bindings:
                    raise ConfigurationError(
                        f"{message.message_kind} has two handlers, in {bindings[message].cell.name} and {cell.name}"
                    )
                if message.requirement is None:
                    raise ConfigurationError(f"{message.message_kind} does not declare who may send it")
                bindings[message] = Binding(
                    message=message,
                    requirement=message.requirement,
                    declared=declared,
                    readonly=declared.readonly,
                    key=declared.key,
                    call=_carried_out(declared, getattr(cell.actor, method)),
                    cell=cell,
                )
        return bindings

    # Sending

    def context(
        self,
        *,
        request_id: str,
        trace_id: str = "",
        principal: Principal | None = None,
        timeout_seconds: float | None = None,
        trusted: bool = False,
        job: JobInfo | None = None,
    ) -> Context:
        """A root context whose deadline is `timeout_seconds` (default: the system's) from now."""
        timeout = self._default_timeout if timeout_seconds is None else timeout_seconds
        return Context(
            self,
            request_id=request_id,
            trace_id=trace_id,
            principal=principal,
            deadline=self.clock.monotonic() + timeout,
            trusted=trusted,
            job=job,
        )

    def dispatch(self, message: Message[T], context: Context, timeout_seconds: float | None) -> Coroutine[Any, Any, T]:
        """Carry out `Context.ask`: all that can be refused is refused here, the rest is the cell's."""
        binding = self._bindings.get(type(message))
        if binding is None:
            raise self._unhandled(message, context)
        if binding.requirement.access is not Access.PUBLIC:
            authorise(binding.message, binding.requirement, context)
        cell = binding.cell
        asker = context.cell
        if asker is None:
            if self.refuses_roots:
                raise Stopping
        elif cell is asker or cell.name not in asker.may_ask:
            raise RuntimeError(_undeclared(asker, binding))
        child = self._child(context, cell, timeout_seconds)
        if context.session is not None:
            return self._run_inline(binding, message, child)
        return (cell.query if binding.readonly else cell.ask)(binding, message, child, context.envelope)

    def at_hand(self, message: Message[T], context: Context) -> T | None:
        """The reply, where an actor has it in memory; None where the message has to be asked.

        That the context's principal may send it is the caller's to have judged.
        """
        call = self._at_hand.get(type(message))
        if call is None or self.refuses_roots:
            return None
        found: T | None = call(message, context)  # type: ignore[assignment]  # `at_hand` ties the reply to the message
        return found

    def submit(self, message: Message[Any], context: Context, run: InterruptibleRun) -> Envelope:
        """Queue a job's message for its actor and come back; `run` is told of the answer.

        Raises what the message's requirement says of the context's principal, `MailboxFull` or `Stopping`.
        """
        binding = self._bindings.get(type(message))
        if binding is None:
            raise self._unhandled(message, context)
        authorise(binding.message, binding.requirement, context)
        if self.refuses_roots:
            raise Stopping
        context.cell = binding.cell
        context.trusted = True
        return binding.cell.submit(binding, message, context, run)

    async def look(self, message: Message[T], context: Context) -> T:
        """Ask a transactional query inside the context's transaction, on behalf of the request itself."""
        binding = self._bindings.get(type(message))
        if binding is None:
            raise self._unhandled(message, context)
        authorise(binding.message, binding.requirement, context)
        child = context.derive()
        child.cell = binding.cell
        child.request_handle = None
        return await self._run_inline(binding, message, child)

    async def _run_inline(self, binding: Binding, message: Message[T], child: Context) -> T:
        if not binding.declared.transactional:
            raise RuntimeError(
                f"{binding.message.message_kind} was asked inside a transaction; its handler is not transactional"
            )
        result: T = await binding.call(message, child)
        return result

    def post(self, message: Message[Any], context: Context) -> bool:
        """Carry out `Context.tell`."""
        binding = self._bindings.get(type(message))
        if binding is None:
            raise self._unhandled(message, context)
        authorise(binding.message, binding.requirement, context)
        child = self._child(context, binding.cell, None)
        child.deadline = math.inf
        try:
            binding.cell.put(binding, message, child, self.monotonic())
        except Unavailable:  # full or stopping: `put` has made it a dead letter, which is all that tell promises
            return False
        return True

    def _unhandled(self, message: Message[Any], context: Context) -> UnhandledMessage:
        self.dead_letter(DeadLetterReason.UNHANDLED, message.message_kind, "", context.request_id)
        return UnhandledMessage(f"no actor handles {message.message_kind}")

    def _child(self, context: Context, cell: Cell, timeout_seconds: float | None) -> Context:
        child = context.derive()
        child.cell = cell
        child.trusted = True
        if context.cell is not None:
            child.job_handle = None  # a job is completed by its own handler, not by those it asks
            child.request_handle = None
        if timeout_seconds is not None:
            child.deadline = min(child.deadline, self.clock.monotonic() + timeout_seconds)
        return child

    # What goes nowhere

    def dead_letter(self, reason: DeadLetterReason, kind: str, actor: str, request_id: str) -> None:
        self.dead_letters.add(DeadLetter(self.clock.now(), reason, kind, actor, request_id))

    def told_failed(self, envelope: Envelope, error: Exception) -> None:
        """A told message's handler failed: nobody waits to hear it, so operators do."""
        kind = envelope.binding.message.message_kind
        self.dead_letter(DeadLetterReason.UNHANDLED, kind, envelope.binding.cell.name, envelope.context.request_id)
        log.error("actor.tell_failed", kind=kind, exc_info=error)

    # Life

    @asynccontextmanager
    async def running(self, *, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> AsyncIterator[System]:
        """Start every actor (those asked by others first), yield, then drain within `grace_seconds`.

        Raises `CriticalActorFailed` (in an exception group) where a critical actor stays down.
        """
        self.new_wake = wake_factory()
        shield = anyio.CancelScope(shield=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._shielded, shield, self.deadlines.run)
            try:
                for cell in self._cells:
                    supervisor = Supervisor(cell, self._own_context(cell), self._rng)
                    self._supervisors[cell.name] = supervisor
                    tasks.start_soon(self._shielded, None, supervisor.run)
                    await supervisor.settled.wait()
                yield self
            finally:
                with anyio.CancelScope(shield=True):
                    await self.stop(grace_seconds)
                shield.cancel()

    @staticmethod
    async def _shielded(scope: anyio.CancelScope | None, run: Callable[[], Awaitable[None]]) -> None:
        """A cancelled host still stops its actors in order: only `stop` ends a supervisor."""
        with scope or anyio.CancelScope(shield=True):
            await run()

    def _own_context(self, cell: Cell) -> Context:
        context = Context(self, request_id=f"actor:{cell.name}", trusted=True)
        context.cell = cell
        return context

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new root asks, then stop the actors, askers before the asked, each once its mailbox is empty.

        So whatever is under way finishes, nested asks included, or is answered `Stopping` after `grace_seconds`.
        """
        self.draining = True
        self.refuses_roots = True
        deadline = anyio.current_time() + grace_seconds
        for cell in reversed(self._cells):
            supervisor = self._supervisors.get(cell.name)
            if supervisor is not None:
                supervisor.request_stop(deadline)
                await supervisor.stopped.wait()

    # Looking in

    @property
    def ready(self) -> bool:
        """Every actor runs and the process is not draining."""
        return not self.draining and all(cell.state is ActorState.RUNNING for cell in self._cells)

    @property
    def bindings(self) -> dict[type[Message[Any]], Binding]:
        """Every handled message; not to be changed."""
        return self._bindings

    def inspect(self) -> tuple[ActorSnapshot, ...]:
        """Every actor as it is now, read beside the mailboxes: overload cannot delay it."""
        now = self.clock.monotonic()
        return tuple(self._snapshot(cell, now) for cell in self._cells)

    def _snapshot(self, cell: Cell, now: float) -> ActorSnapshot:
        counters = cell.counters
        supervisor = self._supervisors.get(cell.name)
        return ActorSnapshot(
            name=cell.name,
            state=cell.state,
            critical=cell.actor.critical,
            workers=cell.actor.workers,
            depth=cell.depth,
            high_water_mark=counters.high_water_mark,
            mailbox_size=cell.actor.mailbox_size,
            in_flight=tuple(_in_flight(envelope, now) for envelope in cell.running),
            handled=counters.handled,
            failed=counters.failed,
            expired=counters.expired,
            rejected=counters.rejected,
            abandoned=counters.abandoned,
            restarts=counters.restarts,
            last_crash=supervisor.last_crash if supervisor else None,
            wait_p50_seconds=counters.wait.quantile_seconds(0.5),
            wait_p99_seconds=counters.wait.quantile_seconds(0.99),
            run_p50_seconds=counters.run.quantile_seconds(0.5),
            run_p99_seconds=counters.run.quantile_seconds(0.99),
        )


def _in_flight(envelope: Envelope, now: float) -> InFlight:
    key = envelope.binding.key
    return InFlight(
        kind=envelope.binding.message.message_kind,
        key=None if key is None else str(key(envelope.message)),
        elapsed_seconds=now - envelope.started_at,
        waiting_on=envelope.waiting_on,
    )


Call = Callable[[Any, Context], Awaitable[T]]  # Any: the handler's own kind of message


def _carried_out(declared: Handles, call: Call[T]) -> Call[T]:
    """The handler as its declaration and the request want it: in a transaction or not, its reply kept or not."""
    if declared.readonly:
        return call

    async def in_transaction(message: Any, context: Context) -> T:
        return await context.transaction(lambda tx: call(message, tx), completes=True)

    async def and_keep(message: Any, context: Context) -> T:
        result = await call(message, context)
        if context.request_handle is not None:  # a transaction of its own that completes it has kept the reply
            try:
                await context.request_handle.complete(None, result)
            except Exception as error:  # the effect is there: to begin again would have it twice
                raise OutcomeUnknown(
                    "It was done, but the reply could not be kept: look before you try again"
                ) from error
        return result

    ordinary = in_transaction if declared.atomic else call
    requested = in_transaction if declared.transactional else and_keep

    async def carry_out(message: Any, context: Context) -> T:
        request = context.request_handle
        if request is None:
            return await ordinary(message, context)
        request.begin()
        try:
            return await requested(message, context)
        except OutcomeUnknown:
            raise
        except Exception:
            await request.abandon()
            raise

    return carry_out


def _undeclared(asker: Cell, binding: Binding) -> str:
    if binding.cell is asker:
        return f"{asker.name} asks itself for {binding.message.message_kind}: call the method, or tell"
    return f"{asker.name} asks {binding.cell.name} for {binding.message.message_kind} without naming it in `asks`"
