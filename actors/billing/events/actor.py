"""Records Stripe's events and applies them: recorded once per event id, applied once per fact.

An effect and the mark that its event is finished are one transaction, and the effect is keyed by the ledger's business
key, not by the event: two events that tell one fact have one effect.
"""

from __future__ import annotations

from types import TracebackType

from promptforge.actors.billing.checkouts.domain import Checkout
from promptforge.actors.billing.checkouts.store import CheckoutStore
from promptforge.actors.billing.errors import UnknownCheckout
from promptforge.actors.billing.events.domain import FINISHED, Outcome, SessionFact, judge, quarantined
from promptforge.actors.billing.events.store import EventStore
from promptforge.actors.billing.ledger.store import LedgerStore
from promptforge.actors.billing.ledger.topups.domain import topup_journal
from promptforge.actors.billing.messages import (
    ListWebhookEvents,
    ProcessStripeEvent,
    RecordedEvent,
    RecordStripeEvent,
    WebhookEventState,
    WebhookEventView,
)
from promptforge.actors.billing.notices import credits_granted
from promptforge.core.context import Context
from promptforge.core.errors import OutcomeUnknown, PromptForgeError, Unavailable
from promptforge.core.mongo import DuplicateKey, Session
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

EVENT_ATTEMPTS = 15
"""With the job runner's backoff the last one starts some eight hours after the first."""


class StripeEventsActor(Actor):
    """`livemode`: whether this service moves real money; events of the other mode are quarantined."""

    name = "stripe_events"

    def __init__(self, events: EventStore, checkouts: CheckoutStore, ledger: LedgerStore, *, livemode: bool) -> None:
        self._events = events
        self._checkouts = checkouts
        self._ledger = ledger
        self._livemode = livemode

    @handles(RecordStripeEvent, key="event_id")
    async def record(self, message: RecordStripeEvent, context: Context) -> RecordedEvent:
        async def work(tx: Context) -> None:
            await self._events.insert(message, now=tx.now(), session=tx.session)
            await tx.enqueue(ProcessStripeEvent(event_id=message.event_id), max_attempts=EVENT_ATTEMPTS)

        try:
            await context.transaction(work)
        except DuplicateKey:  # it has aborted the transaction, so it is caught outside of it
            return RecordedEvent(duplicate=True)
        return RecordedEvent(duplicate=False)

    @handles(ProcessStripeEvent, key="event_id")
    async def process(self, message: ProcessStripeEvent, context: Context) -> None:
        async with _FailureNoted(self._events, message.event_id, context):
            try:
                await context.transaction(lambda tx: self._apply(message.event_id, tx))
            except OutcomeUnknown:
                raise Unavailable("Whether the event was applied is not known; applying it again is safe") from None

    async def _apply(self, event_id: str, tx: Context) -> None:
        session = _session_of(tx)
        event = await self._events.get(event_id, session=session)
        if event.state in FINISHED:
            return
        verdict = judge(event, livemode=self._livemode)
        outcome = await self._settle(verdict, tx, session) if isinstance(verdict, SessionFact) else verdict
        await self._events.finish(event_id, outcome, now=tx.now(), session=session)

    async def _settle(self, fact: SessionFact, tx: Context, session: Session) -> Outcome:
        checkout = await self._checkouts.find_by_session(fact.session_id, session=session)
        if checkout is None:
            raise UnknownCheckout(f"No checkout has the session {fact.session_id}")
        reason = checkout.mismatch(amount_subtotal=fact.amount_subtotal, currency=fact.currency)
        if reason is not None:
            return quarantined(reason)
        if not fact.paid:
            await self._checkouts.mark_processing(checkout.id, session=session)
            return Outcome(WebhookEventState.PROCESSED, "not paid yet: nothing is granted")
        await self._grant(checkout, fact.session_id, tx, session)
        return Outcome(WebhookEventState.PROCESSED)

    async def _grant(self, checkout: Checkout, session_id: str, tx: Context, session: Session) -> None:
        refs = {"checkout_id": checkout.id, "session_id": session_id, "pack_id": checkout.pack.id}
        journal = topup_journal(session_id, user_id=checkout.user_id, amount=checkout.pack.total, refs=refs)
        if not await self._ledger.post(journal, now=tx.now(), session=session):
            return
        await self._checkouts.mark_paid(checkout.id, now=tx.now(), session=session)
        await tx.enqueue(credits_granted(journal.id, checkout.user_id, checkout.pack.total, "Your payment arrived"))
        paid = {"user_id": checkout.user_id, "pack_id": checkout.pack.id, "journal_id": journal.id}
        await tx.audit("checkout.paid", checkout.id, before={"state": checkout.state.value}, after=paid)

    @handles(ListWebhookEvents)
    async def list_events(self, message: ListWebhookEvents, context: Context) -> Page[WebhookEventView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._events.list_page(message.state, cursor, message.limit)
        return Page(tuple(event.view() for event in page.items), page.next)


def _session_of(tx: Context) -> Session:
    if tx.session is None:
        raise RuntimeError("this is done in a transaction only")
    return tx.session


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
        if not isinstance(error, Exception) or isinstance(error, Unavailable):
            return  # it went well, or it was interrupted, or there is no database to write to: the job tries again
        final = self._attempt >= EVENT_ATTEMPTS
        reason = type(error).__name__  # an unexpected error's text may quote what it was working on: it goes to the log
        if isinstance(error, PromptForgeError):
            final = final or not error.retryable
            reason = f"{error.code}: {error.detail}"
        state = WebhookEventState.DEAD if final else WebhookEventState.FAILED
        await self._events.note_failure(self._event_id, state, reason)
