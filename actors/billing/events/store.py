"""Every query on `webhook_events` and `disputes`. Events are kept for good: they are the evidence for the ledger.

What Stripe told goes with the person: the erasure reduces it to what an event is applied by (its object's id, amount
and kind), and so does the end of one that comes later, for Stripe may tell of a payment years after. A replay therefore
does what it always did, whoever has left meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.billing.connect.store import PAID_OUT
from promptforge.actors.billing.events.domain import FINISHED, NEEDED, Outcome, StripeEvent
from promptforge.actors.billing.events.subjects import EventSubjects
from promptforge.actors.billing.messages import RecordStripeEvent, WebhookEventState
from promptforge.actors.billing.stripe.claims import Dispute
from promptforge.core.errors import NotFound
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject, nobody

EVENTS = "webhook_events"
DISPUTES = "disputes"
_FINISHED = sorted(state.value for state in FINISHED)

_TELLS_OF = (
    "account",
    *(f"payload.data.object.{one}" for one in ("id", "customer", "client_reference_id", "charge", "destination")),
)
"""What leads from an event to the person whose it is: without an index, erasing somebody would read every event."""
INDEXES: dict[str, tuple[Index, ...]] = {
    EVENTS: (
        Index((("event_id", 1),), unique=True),
        Index((("created_at", -1), ("_id", -1))),
        Index((("state", 1), ("created_at", -1), ("_id", -1))),
        Index((("livemode", 1),), partial={"livemode": True}),
        *(Index(((path, 1),), partial={path: {"$exists": True}}) for path in _TELLS_OF),
    ),
    DISPUTES: (Index((("topup_id", 1),)),),
}


_OBJECT = "payload.data.object"


def _told_of(path: str, of: str | None = None) -> Subject:
    """What leads from an event to a person; ids at Stripe go when the others do."""
    return Subject(path, {"payload": NEEDED, "account": PAID_OUT}, of=of)


HELD = {
    EVENTS: Held(
        "What Stripe told of your payments and payouts",
        (
            _told_of(f"{_OBJECT}.customer", "stripe_customers:customer_id"),
            _told_of(f"{_OBJECT}.customer", "stripe_customers:gone"),
            _told_of(f"{_OBJECT}.id", "stripe_customers:customer_id"),
            _told_of("account", "connect_accounts:account_id"),
            _told_of(f"{_OBJECT}.id", "connect_accounts:account_id"),
            _told_of(f"{_OBJECT}.destination", "connect_accounts:account_id"),
            _told_of(f"{_OBJECT}.client_reference_id"),
            _told_of(f"{_OBJECT}.client_reference_id", "checkouts"),
            _told_of(f"{_OBJECT}.id", "checkouts:session_id"),
            _told_of(f"{_OBJECT}.charge", "receipts:paid.charge"),
            _told_of(f"{_OBJECT}.id", "receipts:paid.charge"),
        ),
        plain=frozenset({"before_ledger", "event_id", "type", "api_version", "state", "reason"}),
    ),
    DISPUTES: nobody("How far disputes of payments have come"),
}


class EventStore:
    def __init__(self, mongo: Mongo) -> None:
        self._events = mongo.collection(EVENTS)
        self._subjects = EventSubjects(mongo, HELD[EVENTS].subjects)

    async def insert_many(self, events: Sequence[RecordStripeEvent], *, now: datetime, session: Session | None) -> None:
        """Raises `DuplicateKey` where one of them is there already, which has aborted the transaction."""
        await self._events.insert_many([_row_of(event, now) for event in events], session=session)

    async def get(self, event_id: str, *, session: Session | None = None) -> StripeEvent:
        """Raises `NotFound`."""
        row = await self._events.find_one({"event_id": event_id}, session=session)
        if row is None:
            raise NotFound("There is no such event")
        return _event_from(row)

    async def finish(self, event: StripeEvent, outcome: Outcome, *, now: datetime, session: Session) -> None:
        """Write how an event ended, in the transaction of its effect."""
        ended: Document = {"state": outcome.state.value, "reason": outcome.reason, "finished_at": now}
        ended |= await self._without_who_left(event, session=session)
        await self._events.update_one(
            {"event_id": event.event_id, "state": {"$nin": _FINISHED}},
            {"$set": ended, "$inc": {"attempts": 1}},
            session=session,
        )

    async def _without_who_left(self, event: StripeEvent, *, session: Session | None = None) -> Document:
        """What to set in an event that the erasure may not find any more."""
        told: Document = {"account": event.account, "payload": event.payload}
        if not await self._subjects.have_left(told, session=session):
            return {}
        return {"payload": event.needed().payload}

    async def note_failure(self, event_id: str, state: WebhookEventState, reason: str) -> None:
        """Write that an attempt failed; an event that has ended meanwhile stays as it is."""
        failed: Document = {"state": state.value, "reason": reason}
        if state is WebhookEventState.DEAD:
            failed |= await self._without_who_left(await self.get(event_id))
        await self._events.update_one(
            {"event_id": event_id, "state": {"$nin": _FINISHED}}, {"$set": failed, "$inc": {"attempts": 1}}
        )

    async def reopen(self, event_id: str, *, session: Session) -> None:
        """As if it had just come; an event that was applied stays so."""
        await self._events.update_one(
            {"event_id": event_id, "state": {"$ne": WebhookEventState.PROCESSED.value}},
            {"$set": {"state": WebhookEventState.RECEIVED.value, "reason": None, "finished_at": None}},
            session=session,
        )

    async def list_unfinished(self, *, before: datetime, limit: int) -> list[str]:
        """The ids of events that came before then and are not finished, nor dead; the oldest first."""
        unfinished = [WebhookEventState.RECEIVED.value, WebhookEventState.FAILED.value]
        wanted = {"state": {"$in": unfinished}, "created_at": {"$lt": before}}
        rows = self._events.find(wanted, {"event_id": 1}).sort([("created_at", 1)]).limit(limit)
        return [row["event_id"] for row in await rows.to_list(limit)]

    async def known(self, event_ids: Sequence[str]) -> set[str]:
        """Those of the ids that have been recorded."""
        rows = self._events.find({"event_id": {"$in": list(event_ids)}}, {"event_id": 1})
        return {row["event_id"] for row in await rows.to_list(len(event_ids))}

    async def list_page(self, state: WebhookEventState | None, cursor: Cursor | None, limit: int) -> Page[StripeEvent]:
        """Newest first."""
        wanted: Document = {"state": state.value} if state else {}
        wanted |= cursor.after() if cursor else {}
        rows = self._events.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _event_from)


def is_stale(dispute: Dispute, *, closed: bool) -> bool:
    """Whether a dispute was read before another reading was applied, which found it `closed`."""
    return closed and not dispute.closed


class DisputeStore:
    """How far each dispute has come here: one that is closed is not opened again by news that were read before."""

    def __init__(self, mongo: Mongo) -> None:
        self._disputes = mongo.collection(DISPUTES)

    async def advance(self, dispute: Dispute, topup_id: str, *, now: datetime, session: Session) -> bool:
        """Keep how it stands. False where it was closed before and is not in what was read: that is stale.

        Two transactions that advance one dispute conflict, and the second one looks again.
        """
        row = await self._disputes.find_one({"_id": dispute.id}, session=session)
        if row is not None and is_stale(dispute, closed=row["closed"]):
            return False
        kept = {
            "topup_id": topup_id,
            "amount": dispute.amount,
            "status": dispute.status,
            "closed": dispute.closed,
            "updated_at": now,
        }
        changes = {"$set": kept, "$setOnInsert": {"created_at": now}}
        await self._disputes.update_one({"_id": dispute.id}, changes, upsert=True, session=session)
        return True

    async def open_among(self, dispute_ids: Sequence[str]) -> set[str]:
        """Those that are known, and not closed."""
        wanted = {"_id": {"$in": list(dispute_ids)}, "closed": False}
        rows = self._disputes.find(wanted, {"_id": 1})
        return {row["_id"] for row in await rows.to_list(len(dispute_ids) or 1)}


def _row_of(event: RecordStripeEvent, now: datetime) -> Document:
    return {
        "_id": new_id("whe"),
        "event_id": event.event_id,
        "type": event.type,
        "api_version": event.api_version,
        "livemode": event.livemode,
        "account": event.account,
        "created": event.created,
        "payload": event.payload,
        "state": WebhookEventState.RECEIVED.value,
        "attempts": 0,
        "reason": None,
        "created_at": now,
        "received_at": now,
        "finished_at": None,
    }


def _event_from(row: Document) -> StripeEvent:
    return StripeEvent(
        event_id=row["event_id"],
        type=row["type"],
        api_version=row["api_version"],
        livemode=row["livemode"],
        account=row["account"],
        created=row["created"],
        payload=row["payload"],
        state=WebhookEventState(row["state"]),
        attempts=row["attempts"],
        reason=row["reason"],
        received_at=row["received_at"],
        finished_at=row["finished_at"],
    )
