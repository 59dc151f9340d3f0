"""Applies Stripe's events, once per fact. `recording.py` has recorded them, once per event id.

An effect and the mark that its event is finished are one transaction, and the effect is keyed by the ledger's business
key, not by the event: two events that tell one fact have one effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from promptforge.actors.billing.errors import EventApplied, StripeUnavailable
from promptforge.actors.billing.events.domain import FINISHED, Outcome, StripeEvent, ignored, quarantined, refusal
from promptforge.actors.billing.events.handling import Effect, EventHandler, Origin, refusal_of_origin, table_of
from promptforge.actors.billing.events.recording import EVENT_ATTEMPTS, Storm
from promptforge.actors.billing.events.store import EventStore
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.messages import (
    GetWebhookEvent,
    ListWebhookEvents,
    ProcessStripeEvent,
    ReplayWebhookEvent,
    SweepStripeEvents,
    WebhookEventDetail,
    WebhookEventState,
    WebhookEventView,
)
from promptforge.core.context import Context
from promptforge.core.errors import OutcomeUnknown, PromptForgeError, Unavailable
from promptforge.core.failpoints import reach
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

SWEPT_AFTER = timedelta(minutes=10)
SWEPT_AT_ONCE = 1000


class StripeEventsActor(Actor):
    """`livemode`: whether this service moves real money; events of the other mode are quarantined."""

    name = "stripe_events"
    asks = ("payout_holds", "topups")
    """Whom the handlers ask in their effects."""
    workers = 32

    def __init__(self, events: EventStore, handlers: Sequence[EventHandler], storm: Storm, *, livemode: bool) -> None:
        self._events = events
        self._storm = storm
        self._handlers = table_of(handlers)
        self._livemode = livemode

    @handles(ProcessStripeEvent, key="event_id")
    async def process(self, message: ProcessStripeEvent, context: Context) -> None:
        await self._storm.pass_by()
        async with _FailureNoted(self._events, message.event_id, context):
            event = await self._events.get(message.event_id)
            if event.state in FINISHED:
                return
            verdict = await self._read(event)
            try:
                await context.transaction(lambda tx: self._apply(event.event_id, verdict, tx))
            except OutcomeUnknown:
                raise Unavailable("Whether the event was applied is not known; applying it again is safe") from None

    async def _read(self, event: StripeEvent) -> Outcome | Effect:
        """Of the wrong mode or an unknown version is told first, also of types that nothing depends on."""
        if (refused := refusal(event, livemode=self._livemode)) is not None:
            return refused
        handler = self._handlers.get(event.type)
        if handler is None:
            return ignored("nothing here depends on this type")
        if (reason := refusal_of_origin(event, handler.origin)) is not None:
            # Our own account has payouts too, and no seller's.
            return ignored(reason) if handler.origin is Origin.CONNECTED else quarantined(reason)
        return await handler.read(event.needed())

    async def _apply(self, event_id: str, verdict: Outcome | Effect, tx: Context) -> None:
        session = session_of(tx)
        event = await self._events.get(event_id, session=session)
        if event.state in FINISHED:
            return
        outcome = verdict if isinstance(verdict, Outcome) else await verdict(tx)
        reach("event.applied_before_finish")
        await self._events.finish(event, outcome, now=tx.now(), session=session)

    @handles(ListWebhookEvents)
    async def list_events(self, message: ListWebhookEvents, context: Context) -> Page[WebhookEventView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._events.list_page(message.state, cursor, message.limit)
        return Page(tuple(event.view() for event in page.items), page.next)

    @handles(GetWebhookEvent)
    async def get_event(self, message: GetWebhookEvent, context: Context) -> WebhookEventDetail:
        event = await self._events.get(message.event_id)
        return WebhookEventDetail(event.view(), event.payload)

    @handles(ReplayWebhookEvent, key="event_id", transactional=True)
    async def replay(self, message: ReplayWebhookEvent, context: Context) -> WebhookEventView:
        async def work(tx: Context) -> WebhookEventView:
            session = session_of(tx)
            event = await self._events.get(message.event_id, session=session)
            if event.state is WebhookEventState.PROCESSED:
                raise EventApplied
            await self._events.reopen(event.event_id, session=session)
            # Not unique: of a failed event a job may wait for hours, and whichever comes first finishes it.
            await tx.enqueue(ProcessStripeEvent(event_id=event.event_id), max_attempts=EVENT_ATTEMPTS)
            before = {"state": event.state.value, "reason": event.reason}
            await tx.audit("webhook_event.replayed", event.event_id, before=before)
            return (await self._events.get(event.event_id, session=session)).view()

        return await context.transaction(work, completes=True)

    @handles(SweepStripeEvents)
    async def sweep(self, message: SweepStripeEvents, context: Context) -> int:
        unfinished = await self._events.list_unfinished(before=context.now() - SWEPT_AFTER, limit=SWEPT_AT_ONCE)
        for event_id in unfinished:
            await _enqueue(event_id, context)
        return len(unfinished)


async def _enqueue(event_id: str, context: Context) -> None:
    """Does nothing where a sweep has given the event a job that is not done.

    One that still has its first job gets a second: both may run, and whichever comes first finishes the event.
    """
    message = ProcessStripeEvent(event_id=event_id)
    await context.enqueue(message, max_attempts=EVENT_ATTEMPTS, unique=f"stripe-event:{event_id}")


class _FailureNoted:
    """Around one attempt: what it raises is written down with the event, and passes on to the job runner.

    The last attempt, or an error that no retry can help, leaves the event dead.
    """

    def __init__(self, events: EventStore, event_id: str, context: Context) -> None:
        self._events = events
        self._event_id = event_id
        self._attempt = context.job.attempt if context.job else 0

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, StripeUnavailable):  # never the last attempt: the sweep makes another job
            await self._events.note_failure(self._event_id, WebhookEventState.RECEIVED, f"{error.code}: {error.detail}")
        if not isinstance(error, Exception) or isinstance(error, Unavailable):
            return  # it went well, or it was interrupted, or there is no database to write to: the job tries again
        final = self._attempt >= EVENT_ATTEMPTS
        reason = type(error).__name__  # an unexpected error's text may quote what it was working on: it goes to the log
        if isinstance(error, PromptForgeError):
            final = final or not error.retryable
            reason = f"{error.code}: {error.detail}"
        state = WebhookEventState.DEAD if final else WebhookEventState.FAILED
        await self._events.note_failure(self._event_id, state, reason)
