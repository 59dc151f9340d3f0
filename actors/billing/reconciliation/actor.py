"""Compares Stripe's last 30 days with what is known here: lost events are recorded, unknown claims are applied.

Stripe gives up on an event after three days, and an endpoint can be misconfigured for longer. Recording an event that
arrives after all meanwhile is harmless, and so is applying a refund or a dispute whose event is still to come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from promptforge.actors.billing.events.claims import DisputeEvents, RefundEvents
from promptforge.actors.billing.events.domain import Outcome
from promptforge.actors.billing.events.handling import Effect
from promptforge.actors.billing.events.store import EventStore
from promptforge.actors.billing.ledger.topups.store import TopupStore
from promptforge.actors.billing.messages import (
    RecordStripeEvent,
)
from promptforge.actors.billing.reconciliation.messages import (
    ReconcileStripe,
    ReconciliationReport,
    ReconciliationStarted,
    RequestReconciliation,
)
from promptforge.actors.billing.stripe.api import Answer
from promptforge.actors.billing.stripe.listing import StripeListing
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError, Unavailable
from promptforge.core.runtime import Actor, handles

LOOKS_BACK = timedelta(days=30)
"""As long as Stripe lists events."""
UNDER_WAY = timedelta(minutes=5)
"""What has just happened is still being delivered."""
MOST_UNRESOLVED = 100

log = structlog.get_logger(__name__)


Read = Callable[[str], Awaitable[Outcome | Effect]]


@dataclass(slots=True)
class _Count:
    seen: int = 0
    applied: int = 0


@dataclass(slots=True)
class _Tally:
    """What a comparison has found so far."""

    events: _Count = field(default_factory=_Count)
    refunds: _Count = field(default_factory=_Count)
    disputes: _Count = field(default_factory=_Count)
    unresolved: list[str] = field(default_factory=list)

    def report(self) -> ReconciliationReport:
        return ReconciliationReport(
            events=self.events.seen,
            events_recorded=self.events.applied,
            refunds=self.refunds.seen,
            refunds_applied=self.refunds.applied,
            disputes=self.disputes.seen,
            disputes_applied=self.disputes.applied,
            unresolved=tuple(self.unresolved[:MOST_UNRESOLVED]),
        )


@dataclass(frozen=True, slots=True)
class Claims:
    """What applies refunds and disputes, and the ledger's memory of those that were."""

    refunds: RefundEvents
    disputes: DisputeEvents
    topups: TopupStore


class ReconciliationActor(Actor):
    """`types`: the events that matter here."""

    name = "reconciliation"
    asks = ("stripe_intake", "topups")

    def __init__(
        self,
        listing: StripeListing,
        events: EventStore,
        claims: Claims,
        *,
        types: Sequence[str],
        under_way: timedelta = UNDER_WAY,
    ) -> None:
        self._listing = listing
        self._events = events
        self._claims = claims
        self._types = sorted(types)
        self._under_way = under_way

    @handles(RequestReconciliation, transactional=True)
    async def request(self, message: RequestReconciliation, context: Context) -> ReconciliationStarted:
        async def work(tx: Context) -> ReconciliationStarted:
            job_id = await tx.enqueue(ReconcileStripe(), unique="reconcile-stripe")
            await tx.audit("stripe.reconciled", job_id)
            return ReconciliationStarted(job_id)

        return await context.transaction(work, completes=True)

    @handles(ReconcileStripe)
    async def reconcile(self, message: ReconcileStripe, context: Context) -> ReconciliationReport:
        now = context.now()
        since, until = now - LOOKS_BACK, now - self._under_way
        tally = _Tally()
        async for page in self._listing.events(self._types, since=since, until=until):
            await self._record_unknown(page, tally, context)
        async for refunds in self._listing.refunds(since=since, until=until):
            tally.refunds.seen += len(refunds)
            standing = {refund.id: not refund.failed for refund in refunds}
            unknown = await self._unlike(standing)
            tally.refunds.applied += await self._apply(unknown, self._claims.refunds.of_refund, tally, context)
        async for disputes in self._listing.disputes(since=since, until=until):
            tally.disputes.seen += len(disputes)
            standing = {dispute.id: dispute.stands for dispute in disputes}
            ended = await self._claims.disputes.open_here([dispute.id for dispute in disputes if dispute.closed])
            unknown = sorted({*await self._unlike(standing), *ended})
            tally.disputes.applied += await self._apply(unknown, self._claims.disputes.of_dispute, tally, context)
        report = tally.report()
        log.info(
            "stripe.reconciled", events=report.events, recorded=report.events_recorded, unresolved=len(tally.unresolved)
        )
        return report

    async def _record_unknown(self, page: Sequence[Answer], tally: _Tally, context: Context) -> None:
        tally.events.seen += len(page)
        known = await self._events.known([event["id"] for event in page])
        for event in page:
            if event["id"] not in known:
                await context.ask(_message_of(event))
                tally.events.applied += 1

    async def _unlike(self, standing: dict[str, bool]) -> list[str]:
        """The claims that stand at Stripe and not here, or here and not at Stripe."""
        known = await self._claims.topups.known_claims(list(standing))
        return [claim_id for claim_id, stands in standing.items() if known.get(claim_id, False) is not stands]

    async def _apply(self, claim_ids: Sequence[str], read: Read, tally: _Tally, context: Context) -> int:
        """How many were applied. What Stripe being away interrupts is done by the job's next attempt."""
        applied = 0
        for claim_id in claim_ids:
            try:
                verdict = await read(claim_id)
                if not isinstance(verdict, Outcome):
                    await context.transaction(verdict)
                    applied += 1
            except Unavailable:
                raise
            except PromptForgeError as error:
                tally.unresolved.append(claim_id)
                log.warning("stripe.unresolved", claim_id=claim_id, error=error.code)
        return applied


def _message_of(event: Answer) -> RecordStripeEvent:
    return RecordStripeEvent(
        event_id=event["id"],
        type=event["type"],
        api_version=event.get("api_version"),
        livemode=event["livemode"],
        account=event.get("account"),
        created=event["created"],
        payload=event,
    )
