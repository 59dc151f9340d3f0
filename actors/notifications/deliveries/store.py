"""Every query on `notification_deliveries`.

There is one document for each notification and channel, whoever tells it and however often: that is its unique key. A
write about an attempt is fenced by `pending`, so what has ended stays as it ended; but for what was given up because
its job had ended, while the last attempt was still under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.notifications.deliveries.domain import (
    JOB_ENDED,
    KEPT,
    MOST_ATTEMPTS_KEPT,
    Attempt,
    Delivery,
    GivenUp,
)
from promptforge.actors.notifications.deliveries.messages import DeliveryState
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor
from promptforge.core.personal import Held, Subject

DELIVERIES = "notification_deliveries"

INDEXES: dict[str, tuple[Index, ...]] = {
    DELIVERIES: (
        Index((("event_id", 1), ("channel", 1)), unique=True),
        Index((("channel", 1), ("created_at", -1), ("_id", -1))),
        Index((("created_at", 1), ("_id", 1)), partial={"state": DeliveryState.PENDING.value}),
        Index((("user_id", 1),)),
        Index((("expire_at", 1),), ttl_seconds=0),
    )
}
HELD = {
    DELIVERIES: Held(
        "What was sent to you by email and to your webhooks",
        (Subject("user_id", deleted=True),),
        plain=frozenset({"*"}),
    ),
}
_PENDING = {"state": DeliveryState.PENDING.value}
_OPEN: Document = {"$or": [_PENDING, {"reason": {"$in": sorted(JOB_ENDED)}}]}
"""Not ended, as far as an attempt knows: where the job is given up during the last one, what came of that counts."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A delivery's id, and that of the job that is to be enqueued for it."""

    id: str
    job_id: str


class DeliveryStore:
    def __init__(self, mongo: Mongo) -> None:
        self._deliveries = mongo.collection(DELIVERIES)

    async def record(
        self, event_id: str | None, channel: str, *, user_id: str, kind: str, now: datetime, session: Session | None
    ) -> Recorded:
        """The delivery of this event by this channel, made where there is none; without an event that of a test."""
        document = {**_new(user_id, kind, now), "job_id": new_id("job"), **_PENDING}
        key = {"event_id": event_id or document["_id"], "channel": channel}
        row = await self._deliveries.find_one_and_upsert(
            key, {"$setOnInsert": document}, projection={"job_id": 1}, session=session
        )
        return Recorded(row["_id"], row["job_id"])

    async def record_skipped(
        self,
        event_id: str,
        channel: str,
        *,
        user_id: str,
        kind: str,
        reason: str,
        now: datetime,
        session: Session | None,
    ) -> None:
        """A delivery that nobody is to make, unless it is begun again."""
        skipped = {"job_id": None, "state": DeliveryState.SKIPPED.value, "reason": reason, "ended_at": now}
        document = {**_new(user_id, kind, now), **skipped}
        key = {"event_id": event_id, "channel": channel}
        await self._deliveries.update_one(key, {"$setOnInsert": document}, upsert=True, session=session)

    async def find(self, delivery_id: str, *, session: Session | None = None) -> Delivery | None:
        row = await self._deliveries.find_one({"_id": delivery_id}, session=session)
        return None if row is None else delivery_from(row)

    async def find_to_send(self, delivery_id: str, job_id: str | None) -> Delivery | None:
        """The delivery, where this job is to send it; without a job whoever asks may.

        One that was given up because this very job had ended is pending again: an operator has it tried once more.
        """
        delivery = await self.find(delivery_id)
        if delivery is None or (job_id is not None and not delivery.is_left_to(job_id)):
            return None
        if delivery.pending:
            return delivery
        ended = {"_id": delivery_id, "job_id": job_id, "reason": {"$in": sorted(JOB_ENDED)}}
        fresh = {**_PENDING, "reason": None, "error": None, "ended_at": None}
        row = await self._deliveries.find_one_and_update(ended, {"$set": fresh})
        return None if row is None else delivery_from(row)

    async def find_of(self, delivery_id: str, channel: str, *, session: Session | None = None) -> Delivery | None:
        row = await self._deliveries.find_one({"_id": delivery_id, "channel": channel}, session=session)
        return None if row is None else delivery_from(row)

    async def list_of(
        self, channel: str, *, state: DeliveryState | None, cursor: Cursor | None, limit: int
    ) -> list[Document]:
        """Newest first, one more than `limit`."""
        wanted: Document = {"channel": channel, **(cursor.after() if cursor else {})}
        if state is not None:
            wanted["state"] = state.value
        rows = self._deliveries.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return await rows.to_list(limit + 1)

    async def list_pending(self, *, after: Delivery | None, limit: int) -> list[Delivery]:
        """Of everybody, the oldest first."""
        wanted: Document = {**_PENDING}
        if after is not None:
            later, same = {"created_at": {"$gt": after.created_at}}, {"created_at": after.created_at}
            wanted["$or"] = [later, {**same, "_id": {"$gt": after.id}}]
        rows = self._deliveries.find(wanted).sort([("created_at", 1), ("_id", 1)]).limit(limit)
        return [delivery_from(row) for row in await rows.to_list(limit)]

    async def give_up(self, delivery: Delivery, given_up: GivenUp) -> bool:
        """False where it has ended, or was asked for once more, since it was read."""
        still = {"_id": delivery.id, "job_id": delivery.job_id, **_PENDING}
        ended = {"state": DeliveryState.FAILED.value, "reason": given_up.reason, "error": given_up.error}
        done = await self._deliveries.update_one(still, {"$set": {**ended, "ended_at": given_up.at}})
        return done.matched_count == 1

    async def note_attempt(
        self, delivery_id: str, attempt: Attempt, *, failed: bool, session: Session | None = None
    ) -> None:
        """One more attempt of a pending delivery, which stays pending."""
        await self._deliveries.update_one(
            {"_id": delivery_id, **_PENDING}, _pushed(attempt, failed=failed), session=session
        )

    async def end(
        self,
        delivery_id: str,
        state: DeliveryState,
        *,
        reason: str | None,
        attempt: Attempt | None,
        now: datetime,
        sent_to: str | None = None,
        session: Session | None = None,
    ) -> bool:
        """False where it had ended already."""
        update = _pushed(attempt, failed=state is DeliveryState.FAILED) if attempt is not None else {}
        update["$set"] = {"state": state.value, "reason": reason, "error": None, "ended_at": now}
        if sent_to is not None:
            update["$set"]["sent_to"] = sent_to
        done = await self._deliveries.update_one({"_id": delivery_id, **_OPEN}, update, session=session)
        return done.matched_count == 1

    async def begin_again(
        self, delivery: Delivery, job_id: str, *, gone: bool, now: datetime, session: Session | None
    ) -> Delivery | None:
        """Pending once more, by this job; None where it is pending already, unless the job that it had is `gone`."""
        over: list[Document] = [{"state": {"$ne": DeliveryState.PENDING.value}}]
        ended = {"_id": delivery.id, "$or": [*over, *([{"job_id": delivery.job_id}] if gone else [])]}
        fresh = {
            **_PENDING,
            "failures": 0,
            "reason": None,
            "error": None,
            "ended_at": None,
            "expire_at": now + KEPT,
            "asked_at": now,
        }
        fresh["job_id"] = job_id
        row = await self._deliveries.find_one_and_update(ended, {"$set": fresh}, session=session)
        return None if row is None else delivery_from(row)


def _new(user_id: str, kind: str, now: datetime) -> Document:
    return {
        "_id": new_id("dlv"),
        "user_id": user_id,
        "kind": kind,
        "failures": 0,
        "attempts": [],
        "created_at": now,
        "expire_at": now + KEPT,
    }


def _pushed(attempt: Attempt, *, failed: bool) -> Document:
    one = {"at": attempt.at, "outcome": attempt.outcome, "milliseconds": attempt.milliseconds}
    pushed: Document = {"$push": {"attempts": {"$each": [one], "$slice": -MOST_ATTEMPTS_KEPT}}}
    if failed:
        pushed["$inc"] = {"failures": 1}
    return pushed


def delivery_from(row: Document) -> Delivery:
    return Delivery(
        id=row["_id"],
        event_id=row["event_id"],
        user_id=row["user_id"],
        channel=row["channel"],
        kind=row["kind"],
        state=DeliveryState(row["state"]),
        reason=row.get("reason"),
        failures=row["failures"],
        attempts=tuple(Attempt(**one) for one in row["attempts"]),
        created_at=row["created_at"],
        ended_at=row.get("ended_at"),
        job_id=row.get("job_id"),
        sent_to=row.get("sent_to"),
        asked_at=row.get("asked_at") or row["created_at"],
        error=row.get("error"),
    )
