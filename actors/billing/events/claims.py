"""What Stripe tells of refunds and disputes: credits are taken back, frozen, and given back.

The event only says where to look: how the refund or the dispute stands is asked of Stripe, so the order in which events
come does not matter. What was asked may be older than what another event has applied meanwhile. Of refunds the ledger
remembers which have failed; of disputes, `DisputeStore` remembers which are closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from promptforge.actors.billing.errors import UnknownPayment
from promptforge.actors.billing.events.domain import Outcome, StripeEvent, ignored, quarantined
from promptforge.actors.billing.events.handling import Effect, ObjectEvents, Origin
from promptforge.actors.billing.events.store import DisputeStore
from promptforge.actors.billing.ledger.messages import (
    FreezeTopup,
    GiveBackTopup,
    TakeBackTopup,
    ThawTopup,
)
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.messages import WebhookEventState
from promptforge.actors.billing.stripe.claims import Dispute, Payment, Refund, StripeClaims, object_id
from promptforge.core.context import Context
from promptforge.core.errors import NotFound

Order = TakeBackTopup | GiveBackTopup | FreezeTopup | ThawTopup
PROCESSED = Outcome(WebhookEventState.PROCESSED)


class RefundEvents:
    """Credits follow each refund (`re_…`): taken unless it has failed, and given back where it fails later."""

    types = frozenset({"charge.refunded", "refund.created", "refund.updated", "refund.failed"})
    origin = Origin.PLATFORM

    def __init__(self, claims: StripeClaims) -> None:
        self._claims = claims

    async def read(self, event: StripeEvent) -> Outcome | Effect:
        if event.type == "charge.refunded":
            charge_id = object_id(event.payload, "charge")
            if charge_id is None:
                return quarantined("the payload has another shape than a charge's")
            return await self._of_charge(charge_id, await self._claims.refunds_of(charge_id))
        refund_id = object_id(event.payload, "refund")
        if refund_id is None:
            return quarantined("the payload has another shape than a refund's")
        return await self.of_refund(refund_id)

    async def of_refund(self, refund_id: str) -> Outcome | Effect:
        refund = await self._claims.refund(refund_id)
        if refund.charge is None:
            return ignored("it is a refund of no charge")
        return await self._of_charge(refund.charge, (refund,))

    async def _of_charge(self, charge_id: str, refunds: Sequence[Refund]) -> Effect:
        payment = await self._claims.payment(charge_id)
        return lambda tx: _apply_refunds(payment, refunds, tx)


async def _apply_refunds(payment: Payment, refunds: Sequence[Refund], tx: Context) -> Outcome:
    for order in orders_for_refunds(payment, refunds):
        await _ask(order, tx)
    return PROCESSED


def orders_for_refunds(payment: Payment, refunds: Sequence[Refund]) -> list[Order]:
    """What the ledger is told of several refunds in one transaction: one of them undoes sales in it, at most."""
    orders: list[Order] = []
    undone = False
    for refund in refunds:
        order = order_for_refund(payment, refund)
        if isinstance(order, TakeBackTopup) and order.undo_sales:
            order, undone = replace(order, undo_later=undone), True
        orders.append(order)
    return orders


def order_for_refund(payment: Payment, refund: Refund) -> Order:
    """What the ledger is told of a refund that stands like this."""
    topup_id, kind, amount = payment.topup_id, ClaimKind.REFUND, refund.amount
    if refund.failed:
        return GiveBackTopup(topup_id=topup_id, claim_id=refund.id, kind=kind, amount=amount)
    return TakeBackTopup(
        topup_id=topup_id,
        claim_id=refund.id,
        kind=kind,
        amount=amount,
        captured=payment.captured,
        undo_sales=refund.is_for_fraud,
    )


def orders_for_dispute(payment: Payment, dispute: Dispute) -> tuple[Order, ...]:
    """What the ledger is told of a dispute that stands like this, in this order."""
    topup_id, kind, amount = payment.topup_id, ClaimKind.DISPUTE, dispute.amount
    orders: list[Order] = []
    if not dispute.closed:
        orders.append(FreezeTopup(topup_id=topup_id, dispute_id=dispute.id))
    if dispute.won:
        orders.append(GiveBackTopup(topup_id=topup_id, claim_id=dispute.id, kind=kind, amount=amount))
    elif dispute.withdrawn:
        orders.append(
            TakeBackTopup(
                topup_id=topup_id,
                claim_id=dispute.id,
                kind=kind,
                amount=amount,
                captured=payment.captured,
                undo_sales=True,
            )
        )
    if dispute.closed:
        orders.append(ThawTopup(topup_id=topup_id, dispute_id=dispute.id))
    return tuple(orders)


class DisputeEvents(ObjectEvents):
    """Credits follow each dispute: frozen while it is open, taken with the money, and given back where it is won."""

    types = frozenset(
        f"charge.dispute.{what}" for what in ("created", "updated", "funds_withdrawn", "funds_reinstated", "closed")
    )
    origin = Origin.PLATFORM
    kind = "dispute"

    def __init__(self, claims: StripeClaims, disputes: DisputeStore) -> None:
        self._claims = claims
        self._disputes = disputes

    async def look(self, identifier: str, event: StripeEvent) -> Outcome | Effect:
        return await self.of_dispute(identifier)

    async def of_dispute(self, dispute_id: str) -> Outcome | Effect:
        dispute = await self._claims.dispute(dispute_id)
        if not dispute.matters(open_here=bool(await self.open_here([dispute_id]))):
            return Outcome(WebhookEventState.PROCESSED, "an inquiry: no money has moved")
        payment = await self._claims.payment(dispute.charge)
        return lambda tx: self._apply(payment, dispute, tx)

    async def open_here(self, dispute_ids: Sequence[str]) -> set[str]:
        """Of these, the disputes that were told of, and whose end was not."""
        return await self._disputes.open_among(dispute_ids)

    async def _apply(self, payment: Payment, dispute: Dispute, tx: Context) -> Outcome:
        if not await self._disputes.advance(dispute, payment.topup_id, now=tx.now(), session=session_of(tx)):
            return Outcome(WebhookEventState.PROCESSED, "the dispute was closed meanwhile")
        for order in orders_for_dispute(payment, dispute):
            await _ask(order, tx)
        return PROCESSED


async def _ask(message: Order, tx: Context) -> None:
    """Raises `UnknownPayment` where the credits were not granted (yet): the news of the payment may still come."""
    try:
        await tx.ask(message)
    except NotFound:
        raise UnknownPayment(f"No credits were granted as {message.topup_id}") from None
