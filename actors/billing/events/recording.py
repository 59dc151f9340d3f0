"""Records events in groups: what comes while one group is being committed is the next one.

A commit that is flushed to disk takes milliseconds, and in a storm many events wait for one. Each is answered once its
group is committed, with its job; a group with an event that another process has recorded meanwhile is taken one by one.
In a storm whoever was just answered sends the next event within milliseconds. A commit for all of those costs little
more than one for the few that came first, so it waits for most of them, as PostgreSQL does with `commit_delay`.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Container, Sequence

import anyio
from cachetools import LRUCache

from promptforge.actors.billing.events.store import EventStore
from promptforge.actors.billing.messages import ProcessStripeEvent, RecordedEvent, RecordStripeEvent
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError
from promptforge.core.failpoints import reach
from promptforge.core.mongo import DuplicateKey
from promptforge.core.runtime import Actor, handles

MOST_AT_ONCE = 100
MOST_BYTES = 4 * 1024 * 1024
"""Of one group: a transaction of tens of MiB does not fit into a small cache, and would fail for all of them."""
REMEMBERED = 10_000
STORM_GROUP = 4
STORM_SECONDS = 0.2
"""A storm is over once no group of that size has come for so long."""
GATHERED = 0.9
"""A group waits for so much of what was in flight at the last one."""
GATHER_SECONDS = 0.03
"""But no longer than this."""
PATIENCE_SECONDS = 3.0
EVENT_ATTEMPTS = 15
"""With the job runner's backoff the last one starts some eight hours after the first."""


class _Waiting:
    """An event that is to be recorded. `leads`: it takes care of the next group, and `taken`: it is in one."""

    __slots__ = ("answer", "error", "leads", "message", "taken", "woken")

    def __init__(self, message: RecordStripeEvent) -> None:
        self.message = message
        self.woken = anyio.Event()
        self.leads = False
        self.taken = False
        self.answer: RecordedEvent | None = None
        self.error: PromptForgeError | None = None


class Storm:
    """Whether many events are being acknowledged just now: then applying waits a little.

    Stripe gives an acknowledgement a deadline; nobody gives one to an effect, which is a job by now.
    """

    def __init__(self, now: Callable[[], float] = anyio.current_time) -> None:
        self._now = now
        self._until = -math.inf

    def note(self, group: int) -> None:
        """So many events were waiting for one commit."""
        if group >= STORM_GROUP:
            self._until = self._now() + STORM_SECONDS

    @property
    def is_on(self) -> bool:
        return self._now() < self._until

    async def pass_by(self) -> None:
        """Wait until it is over, but no longer than a storm may hold up one event."""
        patience = self._now() + PATIENCE_SECONDS
        while (until := min(self._until, patience)) > self._now():  # noqa: ASYNC110  # it may be prolonged meanwhile
            await anyio.sleep_until(until)


class EventRecorder:
    """One of those who ask commits for the others. Whoever is interrupted leaves, and hands over what they led."""

    def __init__(self, events: EventStore, storm: Storm) -> None:
        self._events = events
        self._storm = storm
        self._waiting: deque[_Waiting] = deque()
        self._busy = False
        self._in_flight = 0
        """How many were answered together with the last group, or were waiting then."""
        self._enough = anyio.Event()
        self._recorded: LRUCache[str, None] = LRUCache(REMEMBERED)
        """Events that are committed: what is sent again soon, as most duplicates are, costs no look into MongoDB."""

    async def record(self, message: RecordStripeEvent, context: Context) -> RecordedEvent:
        if message.event_id in self._recorded:
            return RecordedEvent(duplicate=True)
        mine = _Waiting(message)
        self._waiting.append(mine)
        try:
            await self._lead_or_follow(mine, context)
        finally:
            if not mine.taken:
                self._waiting.remove(mine)
            if mine.leads:
                self._hand_over()
        return _answer_of(mine)

    async def _lead_or_follow(self, mine: _Waiting, context: Context) -> None:
        if self._busy:
            if self._are_enough():
                self._enough.set()
            await mine.woken.wait()
            if not mine.leads:
                return
        self._busy = mine.leads = True
        await self._gather()
        await self._commit_group(context)

    def _hand_over(self) -> None:
        """The first who waits takes care of the next group."""
        if not self._waiting:
            self._busy = False
            return
        self._waiting[0].leads = True
        self._waiting[0].woken.set()

    def _are_enough(self) -> bool:
        return len(self._waiting) >= min(self._in_flight * GATHERED, MOST_AT_ONCE)

    async def _gather(self) -> None:
        self._enough = anyio.Event()
        if self._storm.is_on and not self._are_enough():
            with anyio.move_on_after(GATHER_SECONDS):
                await self._enough.wait()

    def _take_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._waiting and len(group) < MOST_AT_ONCE:
            size += self._waiting[0].message.size
            if group and size > MOST_BYTES:
                break
            group.append(self._waiting.popleft())
            group[-1].taken = True
        return group

    async def _commit_group(self, context: Context) -> None:
        group = self._take_group()
        self._storm.note(len(group))
        try:
            fresh = {one.message.event_id: one for one in reversed(group)}
            await self._commit(list(fresh.values()), context)
            for one in group:
                self._recorded[one.message.event_id] = None
                one.answer = one.answer or RecordedEvent(duplicate=fresh.get(one.message.event_id) is not one)
        except PromptForgeError as error:
            for one in group:
                one.error = error
            raise
        finally:
            self._in_flight = len(group) + len(self._waiting)
            for one in group:
                one.woken.set()

    async def _commit(self, fresh: Sequence[_Waiting], context: Context) -> None:
        try:
            await self._insert(fresh, context)
        except DuplicateKey:  # one has been recorded before, or by another process: it has aborted the transaction
            known = await self._events.known([one.message.event_id for one in fresh])
            for one in fresh:
                await self._commit_alone(one, context, known)

    async def _commit_alone(self, one: _Waiting, context: Context, known: Container[str]) -> None:
        if one.message.event_id not in known:
            with contextlib.suppress(DuplicateKey):
                await self._insert([one], context)
                return
        one.answer = RecordedEvent(duplicate=True)

    async def _insert(self, fresh: Sequence[_Waiting], context: Context) -> None:
        async def work(tx: Context) -> None:
            await self._events.insert_many([one.message for one in fresh], now=tx.now(), session=tx.session)
            reach("event.recorded_before_job")
            jobs = [ProcessStripeEvent(event_id=one.message.event_id) for one in fresh]
            await tx.enqueue_many(jobs, max_attempts=EVENT_ATTEMPTS)

        await context.transaction(work)
        reach("event.recorded")


class StripeIntakeActor(Actor):
    """An actor of its own, so that no acknowledgement waits behind the events that are being applied."""

    name = "stripe_intake"
    workers = 64

    def __init__(self, events: EventStore, storm: Storm) -> None:
        self._recorder = EventRecorder(events, storm)

    @handles(RecordStripeEvent, key="event_id")
    async def record(self, message: RecordStripeEvent, context: Context) -> RecordedEvent:
        return await self._recorder.record(message, context)


def _answer_of(one: _Waiting) -> RecordedEvent:
    if one.error is not None:
        raise one.error
    if one.answer is None:
        raise RuntimeError("a group ended without an answer for one of its events")
    return one.answer
