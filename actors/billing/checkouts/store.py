"""Every query on the `checkouts` collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from promptforge.actors.billing.checkouts.domain import Checkout
from promptforge.actors.billing.customers.store import PAID
from promptforge.actors.billing.messages import CheckoutState
from promptforge.actors.billing.packs import CreditPack
from promptforge.actors.billing.stripe.sessions import CheckoutSession
from promptforge.actors.billing.terms import waiver_from, waiver_row
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import CLEARED, Held, Subject, marks

CHECKOUTS = "checkouts"

INDEXES: dict[str, tuple[Index, ...]] = {
    CHECKOUTS: (
        Index((("session_id", 1),), unique=True, partial={"session_id": {"$type": "string"}}),
        Index((("user_id", 1), ("created_at", -1))),
    ),
}
HELD = {
    CHECKOUTS: Held(
        "Purchases of credits that you began",
        (Subject("user_id", {**marks(CLEARED, "url"), "customer_id": PAID}, owned=True),),
        plain=frozenset({"pack", "waiver", "idempotency_key", "state", "session_id", "pending_at"}),
    ),
}


class CheckoutStore:
    def __init__(self, mongo: Mongo) -> None:
        self._checkouts = mongo.collection(CHECKOUTS)

    async def insert(self, checkout: Checkout) -> None:
        await self._checkouts.insert_one(
            {
                "_id": checkout.id,
                "user_id": checkout.user_id,
                "pack": asdict(checkout.pack),
                "customer_id": checkout.customer_id,
                "waiver": waiver_row(checkout.waiver),
                "idempotency_key": checkout.idempotency_key,
                "state": checkout.state.value,
                "session_id": checkout.session_id,
                "url": checkout.url,
                "created_at": checkout.created_at,
                "paid_at": checkout.paid_at,
            }
        )

    async def find_unfinished(self, user_id: str, pack: CreditPack, *, since: datetime) -> Checkout | None:
        """A checkout of the same pack at the same price whose page may or may not exist."""
        row = await self._checkouts.find_one(
            {
                "user_id": user_id,
                "created_at": {"$gte": since},
                "state": CheckoutState.CREATING.value,
                **{f"pack.{name}": value for name, value in asdict(pack).items()},
            },
            sort=[("created_at", -1)],
        )
        return None if row is None else _checkout_from(row)

    async def open(self, checkout_id: str, session: CheckoutSession) -> Checkout:
        """Keep the page that was made. Two requests with one key keep the same one."""
        await self._checkouts.update_one(
            {"_id": checkout_id, "state": CheckoutState.CREATING.value},
            {"$set": {"state": CheckoutState.OPEN.value, "session_id": session.id, "url": session.url}},
        )
        row = await self._checkouts.find_one({"_id": checkout_id})
        if row is None:
            raise NotFound
        return _checkout_from(row)

    async def give_up(self, checkout_id: str) -> None:
        """The key of this checkout can never have a page."""
        await self._checkouts.update_one(
            {"_id": checkout_id, "state": CheckoutState.CREATING.value},
            {"$set": {"state": CheckoutState.FAILED.value}},
        )

    async def find(self, checkout_id: str) -> Checkout | None:
        row = await self._checkouts.find_one({"_id": checkout_id})
        return None if row is None else _checkout_from(row)

    async def get_own(self, checkout_id: str, user_id: str) -> Checkout:
        """Raises `NotFound`, also for another user's."""
        row = await self._checkouts.find_one({"_id": checkout_id, "user_id": user_id})
        if row is None:
            raise NotFound("There is no such checkout, or it is not yours")
        return _checkout_from(row)

    async def find_by_session(self, session_id: str, *, session: Session | None = None) -> Checkout | None:
        row = await self._checkouts.find_one({"session_id": session_id}, session=session)
        return None if row is None else _checkout_from(row)

    async def has_unsettled(self, user_id: str, *, since: datetime, session: Session | None) -> bool:
        """Whether the money of one that began then or later is under way."""
        return await self._has(user_id, (CheckoutState.PROCESSING,), since, session)

    async def has_page(self, user_id: str, *, since: datetime, session: Session | None) -> bool:
        """Whether there is a page, or may be, of then or later on which nobody has paid."""
        return await self._has(user_id, (CheckoutState.CREATING, CheckoutState.OPEN), since, session)

    async def _has(
        self, user_id: str, states: Sequence[CheckoutState], since: datetime, session: Session | None
    ) -> bool:
        wanted = {"user_id": user_id, "created_at": {"$gte": since}, "state": {"$in": [one.value for one in states]}}
        return await self._checkouts.find_one(wanted, {"_id": 1}, session=session) is not None

    async def mark_processing(self, checkout_id: str, *, session: Session | None) -> None:
        """The buyer is done, and the money comes later; a checkout that is paid already stays so."""
        await self._checkouts.update_one(
            {"_id": checkout_id, "state": CheckoutState.OPEN.value},
            {"$set": {"state": CheckoutState.PROCESSING.value}},
            session=session,
        )

    async def mark_failed(self, checkout_id: str, *, session: Session) -> None:
        """The payment that was to settle later did not; one that is paid all the same stays so."""
        await self._checkouts.update_one(
            {"_id": checkout_id, "state": {"$in": [CheckoutState.OPEN.value, CheckoutState.PROCESSING.value]}},
            {"$set": {"state": CheckoutState.FAILED.value, "url": None}},
            session=session,
        )

    async def mark_expired(self, checkout_id: str, *, session: Session) -> None:
        await self._checkouts.update_one(
            {"_id": checkout_id, "state": CheckoutState.OPEN.value},
            {"$set": {"state": CheckoutState.EXPIRED.value, "url": None}},
            session=session,
        )

    async def mark_paid(self, checkout_id: str, *, now: datetime, session: Session | None) -> None:
        await self._checkouts.update_one(
            {"_id": checkout_id}, {"$set": {"state": CheckoutState.PAID.value, "paid_at": now}}, session=session
        )


def _checkout_from(row: Document) -> Checkout:
    return Checkout(
        id=row["_id"],
        user_id=row["user_id"],
        pack=CreditPack(**row["pack"]),
        idempotency_key=row["idempotency_key"],
        state=CheckoutState(row["state"]),
        session_id=row["session_id"],
        url=row["url"],
        created_at=row["created_at"],
        paid_at=row["paid_at"],
        customer_id=row.get("customer_id"),
        waiver=waiver_from(row),
    )
