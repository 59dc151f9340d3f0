"""What Stripe tells of subscriptions: how they stand, and the paid invoices that bring the credits of a month."""

from __future__ import annotations

from promptforge.actors.billing.errors import UnknownSubscription
from promptforge.actors.billing.events.domain import OF_WHO_LEFT, Outcome, StripeEvent, ignored, quarantined
from promptforge.actors.billing.events.handling import Effect, ObjectEvents, Origin
from promptforge.actors.billing.ledger.topups.domain import invoice_journal
from promptforge.actors.billing.ledger.transaction import Ledger, session_of
from promptforge.actors.billing.messages import WebhookEventState
from promptforge.actors.billing.notices import credits_granted, payment_failed
from promptforge.actors.billing.receipts.messages import ReceiptKind
from promptforge.actors.billing.receipts.writing import ReceiptWriter, Sold
from promptforge.actors.billing.stripe.subscriptions import Invoice, StripeSubscriptions, SubscriptionAtStripe
from promptforge.actors.billing.subscriptions.domain import Subscription
from promptforge.actors.billing.subscriptions.store import SubscriptionStore
from promptforge.core.clock import Clock
from promptforge.core.context import Context

PROCESSED = Outcome(WebhookEventState.PROCESSED)
OF_A_MONTH = frozenset({"subscription_create", "subscription_cycle"})
"""Why Stripe makes the invoices that bring credits; others are for changes by hand, and bring none."""
PAID, UNPAID = "invoice.paid", "invoice.payment_failed"


class SubscriptionEvents(ObjectEvents):
    """`clock` says when something was read: what was read before is not written over what was read after."""

    types = frozenset(f"customer.subscription.{what}" for what in ("created", "updated", "deleted"))
    origin = Origin.PLATFORM
    kind = "subscription"

    def __init__(self, subscriptions: SubscriptionStore, stripe: StripeSubscriptions, clock: Clock) -> None:
        self._subscriptions = subscriptions
        self._stripe = stripe
        self._clock = clock

    async def look(self, identifier: str, event: StripeEvent) -> Outcome | Effect:
        read_at = self._clock.now()
        told = await self._stripe.subscription(identifier)

        async def apply(tx: Context) -> Outcome:
            subscription = await find(self._subscriptions, told, tx)
            newest = await self._subscriptions.advance(subscription.id, told, read_at=read_at, session=session_of(tx))
            return PROCESSED if newest else Outcome(WebhookEventState.PROCESSED, "something newer was known")

        return apply


class InvoiceEvents(ObjectEvents):
    """A paid invoice of a month brings the plan's credits once, from the plan as it was when the subscription began."""

    types = frozenset({PAID, UNPAID})
    origin = Origin.PLATFORM
    kind = "invoice"

    def __init__(
        self, subscriptions: SubscriptionStore, stripe: StripeSubscriptions, ledger: Ledger, receipts: ReceiptWriter
    ) -> None:
        self._subscriptions = subscriptions
        self._stripe = stripe
        self._ledger = ledger
        self._receipts = receipts

    async def look(self, identifier: str, event: StripeEvent) -> Outcome | Effect:
        invoice = await self._stripe.invoice(identifier)
        if invoice.billing_reason not in OF_A_MONTH or invoice.subscription_id is None:
            return ignored(f"the invoice was made for {invoice.billing_reason}, which brings no credits")
        told = await self._stripe.subscription(invoice.subscription_id)
        if event.type == UNPAID:
            return lambda tx: self._tell(invoice, told, tx)
        if not invoice.paid:
            return quarantined(f"the invoice is {invoice.status}")
        return lambda tx: self._grant(invoice, told, tx)

    async def _grant(self, invoice: Invoice, told: SubscriptionAtStripe, tx: Context) -> Outcome:
        subscription = await find(self._subscriptions, told, tx)
        reason = subscription.mismatch(
            subtotal=invoice.subtotal, currency=invoice.currency, customer_id=invoice.customer
        )
        if reason is not None:
            return quarantined(reason)
        if await self._ledger.entries.is_closed(subscription.user_id, session=session_of(tx)):
            return quarantined(OF_WHO_LEFT)
        refs = {"subscription_id": subscription.id, "invoice_id": invoice.id, "plan_id": subscription.plan.id}
        total = subscription.plan.total
        journal = invoice_journal(invoice.id, user_id=subscription.user_id, amount=total, refs=refs)
        if await self._ledger.open(tx).post(journal):
            sold = Sold(subscription.user_id, subscription.plan, subscription.waiver)
            await self._receipts.write(journal.id, ReceiptKind.SUBSCRIPTION, sold, tx)
            await tx.enqueue(credits_granted(journal.id, subscription.user_id, total, "Your month was paid"))
            paid = {"user_id": subscription.user_id, "plan_id": subscription.plan.id, "journal_id": journal.id}
            await tx.audit("subscription.paid", subscription.id, after=paid)
        return PROCESSED

    async def _tell(self, invoice: Invoice, told: SubscriptionAtStripe, tx: Context) -> Outcome:
        subscription = await find(self._subscriptions, told, tx)
        if not invoice.paid:
            await tx.enqueue(payment_failed(invoice.id, subscription.user_id, subscription.id))
        return PROCESSED


async def find(subscriptions: SubscriptionStore, told: SubscriptionAtStripe, tx: Context) -> Subscription:
    """Raises `UnknownSubscription` for one that was not made here, or not for this customer."""
    found = await subscriptions.find(told.ours, session=session_of(tx)) if told.ours else None
    if found is None or found.customer_id != told.customer or found.stripe_id not in {None, told.id}:
        raise UnknownSubscription(f"Nothing here has the subscription {told.id}")
    return found
