"""What Stripe tells of checkout sessions: paid (now or later), not paid after all, expired, or declined once.

A session's state is judged by the event itself: each type tells of one step, none of which is ever taken back. Being
paid wins over whatever comes later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Len
from pydantic import StrictInt, TypeAdapter, ValidationError

from promptforge.actors.billing.checkouts.domain import Checkout
from promptforge.actors.billing.checkouts.store import CheckoutStore
from promptforge.actors.billing.errors import UnknownCheckout
from promptforge.actors.billing.events.domain import OF_WHO_LEFT, Outcome, StripeEvent, ignored, quarantined
from promptforge.actors.billing.events.handling import Effect, Origin
from promptforge.actors.billing.ledger.topups.domain import topup_journal
from promptforge.actors.billing.ledger.transaction import Ledger, session_of
from promptforge.actors.billing.messages import WebhookEventState
from promptforge.actors.billing.notices import credits_granted
from promptforge.actors.billing.receipts.messages import ReceiptKind
from promptforge.actors.billing.receipts.writing import ReceiptWriter, Sold
from promptforge.actors.billing.subscriptions.store import SubscriptionStore
from promptforge.core.context import Context

PAID_NOW, PAID_LATER = "checkout.session.completed", "checkout.session.async_payment_succeeded"
NOT_PAID, EXPIRED = "checkout.session.async_payment_failed", "checkout.session.expired"
DECLINED = "payment_intent.payment_failed"


@dataclass(frozen=True, slots=True)
class SessionFact:
    """What an event says of a checkout session in payment mode."""

    session_id: str
    paid: bool
    amount_subtotal: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class _Session:
    id: Annotated[str, Len(1, 255)]
    object: Literal["checkout.session"]
    mode: str
    payment_status: str
    amount_subtotal: StrictInt | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class _Data:
    object: _Session


@dataclass(frozen=True, slots=True)
class _Payload:
    data: _Data


_payloads = TypeAdapter(_Payload)


def session_fact(event: StripeEvent) -> Outcome | SessionFact:
    """Read an event without looking anything up. A `no_payment_required` session is unpaid: packs cost something."""
    try:
        session = _payloads.validate_python(event.payload).data.object
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False))
        return quarantined(f"the payload has another shape than a checkout session's: {fields}")
    if session.mode != "payment":
        return ignored(f"the session's mode is {session.mode}")
    return SessionFact(
        session_id=session.id,
        paid=session.payment_status == "paid",
        amount_subtotal=session.amount_subtotal,
        currency=session.currency,
    )


def _subscription_page(event: StripeEvent) -> tuple[str, str] | None:
    """Our id and Stripe's of a page on which one subscribes; None for any other."""
    match event.payload:
        case {"data": {"object": {"mode": "subscription", "id": str(page), "client_reference_id": str(ours)}}}:
            return ours, page
    return None


class CheckoutEvents:
    """Grants what a paid session is for, from the pack as it was when the checkout was made."""

    types = frozenset({PAID_NOW, PAID_LATER, NOT_PAID, EXPIRED, DECLINED})
    origin = Origin.PLATFORM

    def __init__(
        self, checkouts: CheckoutStore, subscriptions: SubscriptionStore, ledger: Ledger, receipts: ReceiptWriter
    ) -> None:
        self._checkouts = checkouts
        self._subscriptions = subscriptions
        self._ledger = ledger
        self._receipts = receipts

    async def read(self, event: StripeEvent) -> Outcome | Effect:
        if event.type == DECLINED:  # a session stays open then, and a delayed payment has an event of its own
            return Outcome(WebhookEventState.PROCESSED, "declined: the buyer may try again, and nothing has moved")
        if event.type == EXPIRED and (page := _subscription_page(event)) is not None:
            return lambda tx: self._end_page(*page, tx)
        fact = session_fact(event)
        if isinstance(fact, Outcome):
            return fact
        if event.type in {NOT_PAID, EXPIRED}:
            return lambda tx: self._end(fact, tx, expired=event.type == EXPIRED)
        return lambda tx: self._settle(fact, tx)

    async def _find(self, fact: SessionFact, tx: Context) -> Checkout:
        checkout = await self._checkouts.find_by_session(fact.session_id, session=session_of(tx))
        if checkout is None:
            raise UnknownCheckout(f"No checkout has the session {fact.session_id}")
        return checkout

    async def _end(self, fact: SessionFact, tx: Context, *, expired: bool) -> Outcome:
        checkout = await self._find(fact, tx)
        if expired:
            await self._checkouts.mark_expired(checkout.id, session=session_of(tx))
        else:
            await self._checkouts.mark_failed(checkout.id, session=session_of(tx))
        return Outcome(WebhookEventState.PROCESSED)

    async def _end_page(self, subscription_id: str, session_id: str, tx: Context) -> Outcome:
        """It was stored before Stripe heard of it, so what is not here is not ours."""
        if await self._subscriptions.mark_expired(subscription_id, session_id, session=session_of(tx)):
            return Outcome(WebhookEventState.PROCESSED)
        return ignored("nothing here waits for this page")

    async def _settle(self, fact: SessionFact, tx: Context) -> Outcome:
        session = session_of(tx)
        checkout = await self._find(fact, tx)
        reason = checkout.mismatch(amount_subtotal=fact.amount_subtotal, currency=fact.currency)
        if reason is not None:
            return quarantined(reason)
        if not fact.paid:
            await self._checkouts.mark_processing(checkout.id, session=session)
            return Outcome(WebhookEventState.PROCESSED, "not paid yet: nothing is granted")
        if await self._ledger.entries.is_closed(checkout.user_id, session=session):
            return quarantined(OF_WHO_LEFT)
        await self._grant(checkout, fact.session_id, tx)
        return Outcome(WebhookEventState.PROCESSED)

    async def _grant(self, checkout: Checkout, session_id: str, tx: Context) -> None:
        refs = {"checkout_id": checkout.id, "session_id": session_id, "pack_id": checkout.pack.id}
        journal = topup_journal(session_id, user_id=checkout.user_id, amount=checkout.pack.total, refs=refs)
        if not await self._ledger.open(tx).post(journal):
            return
        await self._checkouts.mark_paid(checkout.id, now=tx.now(), session=session_of(tx))
        sold = Sold(checkout.user_id, checkout.pack, checkout.waiver)
        await self._receipts.write(journal.id, ReceiptKind.PACK, sold, tx)
        await tx.enqueue(credits_granted(journal.id, checkout.user_id, checkout.pack.total, "Your payment arrived"))
        paid = {"user_id": checkout.user_id, "pack_id": checkout.pack.id, "journal_id": journal.id}
        await tx.audit("checkout.paid", checkout.id, before={"state": checkout.state.value}, after=paid)
