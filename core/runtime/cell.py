"""An actor's cell: its bounded mailbox with one lane per live key, its resident workers, and its query slots.

Workers are started when there is first something for them to do, and stay: most actors never need all that they may
have, and a process has some forty actors.

Invariants: a lane is with one worker at a time and gives its messages in order of arrival; a waiting message is in
exactly one lane and counted in `depth`; an asked message gets exactly one reply, error or withdrawal.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from promptforge.core.context import Context, current_context
from promptforge.core.errors import DeadlineExceeded, MailboxFull, PromptForgeError, Stopping, Unavailable
from promptforge.core.messages import Message, Requirement
from promptforge.core.runtime.actor import Actor, Handles
from promptforge.core.runtime.telemetry import ActorState, Counters, DeadLetterReason
from promptforge.core.runtime.turnstile import Turnstile
from promptforge.core.runtime.wake import Wake

if TYPE_CHECKING:
    from promptforge.core.runtime.system import System

YIELD_EVERY = 32
"""Messages a worker handles without parking before it lets other tasks run: handlers need not suspend by themselves."""

CLOSED = frozenset({ActorState.STOPPING, ActorState.STOPPED, ActorState.FAILED})


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """A message kind bound to the handler of a living actor."""

    message: type[Message[Any]]
    requirement: Requirement
    declared: Handles
    readonly: bool
    key: Callable[[Any], object] | None
    call: Callable[[Any, Context], Awaitable[Any]]
    cell: Cell


class Envelope:
    """One message on its way: waiting in a lane, running, or done."""

    __slots__ = (
        "binding",
        "context",
        "done",
        "enqueued_at",
        "error",
        "lane",
        "message",
        "run",
        "started_at",
        "value",
        "waiting_on",
    )

    def __init__(self, binding: Binding, message: Message[Any], context: Context, now: float) -> None:
        self.binding = binding
        self.message = message
        self.context = context
        context.envelope = self
        self.enqueued_at = now
        self.started_at = now
        self.done: Wake | None = None
        """Set once there is a reply; None for a told message."""
        self.lane: Lane | None = None
        """Where it waits; None once taken up or withdrawn."""
        self.value: Any = None  # Any: the reply, typed again by `ask`
        self.error: BaseException | None = None
        self.waiting_on: str | None = None
        self.run: InterruptibleRun | None = None
        """Set for a job: its handler can be interrupted."""

    def answer(self, value: object, error: BaseException | None) -> None:
        """Reply, once: a second answer (the deadline came first, or the asker left) is dropped."""
        if self.done is not None and not self.done.is_set():
            self.value = value
            self.error = error
            self.done.set()


class InterruptibleRun:
    """How a job's handler is ended from outside: cancelled, past its time, or handed back to other processes.

    It is the envelope's wake too: `answered` is called, once, when there is an answer. `timeout_seconds` counts from
    the moment a worker takes the message up. `reason` is what the asker hears.
    """

    __slots__ = ("_answered", "envelope", "reason", "scope", "timeout_seconds")

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self.reason: PromptForgeError | None = None
        self.scope: anyio.CancelScope | None = None
        self.envelope: Envelope | None = None
        """Once it is in a mailbox."""
        self._answered = False

    def answered(self) -> None:
        """Overridden by who wants to know."""

    def set(self) -> None:
        if not self._answered:
            self._answered = True
            self.answered()

    def is_set(self) -> bool:
        return self._answered

    def wait(self) -> Awaitable[object]:
        raise RuntimeError("nobody waits for this answer: it is told")

    def interrupt(self, reason: PromptForgeError) -> None:
        """End the handler, or take it out of the mailbox; the first reason counts."""
        if self.reason is None:
            self.reason = reason
            if self.scope is not None:
                self.scope.cancel()
            elif self.envelope is not None and self.envelope.lane is not None:
                self.envelope.binding.cell.take_out(self.envelope, reason)


class Lane:
    """The messages of one live key, in order. `held` while a worker has it; otherwise it is in the ready queue."""

    __slots__ = ("held", "key", "waiting")

    def __init__(self, key: object) -> None:
        self.key = key
        self.held = False
        self.waiting: deque[Envelope] = deque()


class Slot:
    """Where an idle worker is handed a lane."""

    __slots__ = ("lane", "wake")

    def __init__(self) -> None:
        self.lane: Lane | None = None
        self.wake: Wake | None = None


class Cell:
    """See the module. Made by the system, run by a supervisor; all state is touched from one thread only."""

    def __init__(self, actor: Actor, system: System) -> None:
        self.actor = actor
        self.name = actor.name
        self.may_ask = frozenset(actor.asks)
        self.system = system
        self.state = ActorState.STARTING
        self.counters = Counters()
        self.depth = 0
        self.running: set[Envelope] = set()
        self.turnstile = Turnstile(limit=actor.max_queries, max_waiting=actor.mailbox_size)
        self._lanes: dict[object, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._idle: deque[Slot] = deque()
        self._workers = 0
        self._hire: Callable[[], object] | None = None
        self._quiet: anyio.Event | None = None

    # Sending

    def put(self, binding: Binding, message: Message[Any], context: Context, now: float) -> Envelope:
        """Add to the mailbox; raises `MailboxFull` or `Stopping`, and the message is a dead letter then."""
        if self.state in CLOSED:
            raise self._refused(binding, context, Stopping(), DeadLetterReason.STOPPED)
        depth = self.depth
        if depth >= self.actor.mailbox_size:
            full = MailboxFull(f"{self.name} has {depth} messages waiting")
            raise self._refused(binding, context, full, DeadLetterReason.FULL)
        envelope = Envelope(binding, message, context, now)
        key: object = envelope if binding.key is None else binding.key(message)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
            lane.waiting.append(envelope)
            self._offer(lane)
        else:
            lane.waiting.append(envelope)
        envelope.lane = lane
        self.depth = depth = depth + 1
        self.counters.high_water_mark = max(self.counters.high_water_mark, depth)
        return envelope

    async def ask(self, binding: Binding, message: Message[Any], context: Context, asker: Envelope | None) -> Any:
        """Queue a command and wait for its reply. A message that still waits when its asker leaves is withdrawn."""
        system = self.system
        deadline = context.deadline
        now = system.monotonic()
        if deadline <= now:
            raise self._refused(binding, context, DeadlineExceeded(), DeadLetterReason.EXPIRED)
        envelope = self.put(binding, message, context, now)
        envelope.done = done = system.new_wake()
        bucket = system.deadlines.add(envelope, deadline) if deadline < math.inf else None
        self._begin_ask(asker)
        try:
            await done.wait()
        finally:
            self._end_ask(asker)
            if bucket is not None:
                system.deadlines.discard(envelope, bucket)
            if envelope.lane is not None:
                self._withdraw(envelope, DeadLetterReason.ABANDONED)
        if envelope.error is not None:
            raise envelope.error
        return envelope.value

    def _begin_ask(self, asker: Envelope | None) -> None:
        if asker is not None:
            asker.waiting_on = self.name

    def _end_ask(self, asker: Envelope | None) -> None:
        if asker is not None:
            asker.waiting_on = None

    def expire(self, envelope: Envelope, error: DeadlineExceeded) -> None:
        """The deadline passed: what still waits is withdrawn, what runs finishes unheard; the asker hears now."""
        if envelope.run is not None:
            envelope.run.interrupt(error)
            return
        if envelope.lane is not None:
            self._withdraw(envelope, DeadLetterReason.EXPIRED)
        envelope.answer(None, error)

    def submit(self, binding: Binding, message: Message[Any], context: Context, run: InterruptibleRun) -> Envelope:
        """Queue a job's message; `run` is told of the answer. Nobody waits, so no task is held for it."""
        envelope = self.put(binding, message, context, self.system.monotonic())
        envelope.run = envelope.done = run
        run.envelope = envelope
        return envelope

    def take_out(self, envelope: Envelope, reason: PromptForgeError) -> None:
        """A job's message that waits will not be handled: that is its answer."""
        self._withdraw(envelope, None)
        envelope.answer(None, reason)

    def _refused(self, binding: Binding, context: Context, error: Unavailable, why: DeadLetterReason) -> Unavailable:
        if why is DeadLetterReason.EXPIRED:
            self.counters.expired += 1
        else:
            self.counters.rejected += 1
        self.system.dead_letter(why, binding.message.message_kind, self.name, context.request_id)
        return error

    def _withdraw(self, envelope: Envelope, why: DeadLetterReason | None) -> None:
        lane = envelope.lane
        if lane is None:
            return
        lane.waiting.remove(envelope)
        envelope.lane = None
        self.depth -= 1
        if not lane.waiting and not lane.held:  # else asks that come and expire behind stuck workers would pile up
            self._ready.remove(lane)
            del self._lanes[lane.key]
        if why is DeadLetterReason.EXPIRED:
            self.counters.expired += 1
        elif why is DeadLetterReason.ABANDONED:
            self.counters.abandoned += 1
        if why is not None:  # a job is none: it goes on elsewhere
            self.system.dead_letter(why, envelope.binding.message.message_kind, self.name, envelope.context.request_id)
        self._notice_quiet()

    # Workers

    def staff(self, hire: Callable[[], object] | None) -> None:
        """From now on `hire` starts a worker, for what waits already too; None: those that there were are gone."""
        self._hire = hire
        self._workers = 0
        for _ in self._ready:
            self._add_worker()

    def _add_worker(self) -> None:
        if self._hire is not None and self._workers < self.actor.workers:
            self._workers += 1
            self._hire()

    def _offer(self, lane: Lane) -> None:
        """Hand a lane that nobody has to an idle worker or a new one, or let it wait for the next free one."""
        if self._idle:
            slot = self._idle.popleft()
            lane.held = True
            slot.lane = lane
            if slot.wake is not None:
                slot.wake.set()
        else:
            lane.held = False
            self._ready.append(lane)
            self._add_worker()

    async def work(self) -> None:
        """One resident worker: take a lane, handle its first message, give it back, for ever."""
        slot = Slot()
        since_parked = 0
        try:
            # Started while the actor was already ending: what waits is for its next life, whole.
            await anyio.lowlevel.checkpoint_if_cancelled()
            while True:
                if self._ready:
                    slot.lane = self._ready.popleft()
                    slot.lane.held = True
                    since_parked += 1
                    if since_parked >= YIELD_EVERY:
                        since_parked = 0
                        await anyio.lowlevel.checkpoint()
                else:
                    since_parked = 0
                    slot.wake = self.system.new_wake()
                    self._idle.append(slot)
                    await slot.wake.wait()
                lane = slot.lane
                if lane is None:  # woken by nobody: cannot happen, and must not be mistaken for work
                    raise RuntimeError("a worker was woken without a lane")
                if lane.waiting:
                    await self._handle(lane.waiting.popleft())
                slot.lane = None
                self._give_back(lane)
        finally:
            if slot in self._idle:
                self._idle.remove(slot)
            if slot.lane is not None:  # cancelled or crashed with a lane in hand: its other messages live on
                self._give_back(slot.lane)

    def _give_back(self, lane: Lane) -> None:
        if lane.waiting:
            self._offer(lane)
        else:
            del self._lanes[lane.key]

    async def _handle(self, envelope: Envelope) -> None:
        envelope.lane = None
        self.depth -= 1
        now = self.system.monotonic()
        context = envelope.context
        if context.deadline <= now:
            self.counters.expired += 1
            self.system.dead_letter(
                DeadLetterReason.EXPIRED, envelope.binding.message.message_kind, self.name, context.request_id
            )
            envelope.answer(None, DeadlineExceeded())
            self._notice_quiet()
            return
        self.counters.wait.add(now - envelope.enqueued_at)
        envelope.started_at = now
        self.running.add(envelope)
        current_context.set(context)
        try:
            if envelope.run is None:
                value = await envelope.binding.call(envelope.message, context)
            else:
                value = await self._interruptibly(envelope, envelope.run, now)
        except Exception as error:  # noqa: BLE001  # whatever the handler raises belongs to the asker
            self.counters.failed += 1
            if envelope.done is None:
                self.system.told_failed(envelope, error)
            envelope.answer(None, error)
        except BaseException:
            # The worker itself is being ended (stop, restart): the asker must not wait for what nobody will finish.
            envelope.answer(None, Stopping("The operation was interrupted; look before you try again"))
            raise
        else:
            self.counters.handled += 1
            envelope.answer(value, None)
        finally:
            self.running.discard(envelope)
            self.counters.run.add(self.system.monotonic() - now)
            if self._quiet is not None:
                self._notice_quiet()

    async def _interruptibly(self, envelope: Envelope, run: InterruptibleRun, now: float) -> Any:
        """Run a job's handler in a scope of its own; raises the reason where it was interrupted."""
        deadline = now + run.timeout_seconds
        envelope.context.deadline = deadline
        deadlines = self.system.deadlines
        bucket = deadlines.add(envelope, deadline) if deadline < math.inf else None
        try:
            if run.reason is None:
                with anyio.CancelScope() as run.scope:
                    return await envelope.binding.call(envelope.message, envelope.context)
        finally:
            run.scope = None
            if bucket is not None:
                deadlines.discard(envelope, bucket)
        raise run.reason or Stopping()

    # Queries

    async def query(self, binding: Binding, message: Message[Any], context: Context, asker: Envelope | None) -> Any:
        """Run a query in the caller's task: cancelled with it, or by the deadline; bounded by `max_queries`."""
        if self.state is not ActorState.RUNNING:
            error = Stopping() if self.state in CLOSED else Unavailable(f"{self.name} is {self.state}")
            raise self._refused(binding, context, error, DeadLetterReason.STOPPED)
        envelope = Envelope(binding, message, context, self.system.monotonic())
        self._begin_ask(asker)
        try:
            with anyio.CancelScope(deadline=context.deadline):
                return await self._take_turn(envelope)
        finally:
            self._end_ask(asker)
        self.counters.expired += 1
        raise DeadlineExceeded

    async def _take_turn(self, envelope: Envelope) -> Any:
        try:
            await self.turnstile.enter()
        except MailboxFull as error:
            raise self._refused(envelope.binding, envelope.context, error, DeadLetterReason.FULL) from None
        try:
            return await self._run_query(envelope)
        finally:
            self.turnstile.leave()
            self._notice_quiet()

    async def _run_query(self, envelope: Envelope) -> Any:
        counters = self.counters
        now = self.system.monotonic()
        counters.wait.add(now - envelope.enqueued_at)
        envelope.started_at = now
        self.running.add(envelope)
        token = current_context.set(envelope.context)
        try:
            value = await envelope.binding.call(envelope.message, envelope.context)
        except Exception:
            counters.failed += 1
            raise
        else:
            counters.handled += 1
            return value
        finally:
            current_context.reset(token)
            self.running.discard(envelope)
            counters.run.add(self.system.monotonic() - now)

    # Stopping

    async def until_quiet(self) -> None:
        """Wait until nothing waits and nothing runs."""
        while self.depth or self.running or self.turnstile.inside:
            self._quiet = anyio.Event()
            await self._quiet.wait()

    def _notice_quiet(self) -> None:
        if self._quiet is not None and not (self.depth or self.running or self.turnstile.inside):
            self._quiet.set()

    def abandon_waiting(self, error: Stopping) -> None:
        """Answer everything that still waits with `error`; each is a dead letter."""
        for lane in list(self._lanes.values()):
            while lane.waiting:
                envelope = lane.waiting[0]
                self._withdraw(envelope, DeadLetterReason.STOPPED)
                envelope.answer(None, error)
