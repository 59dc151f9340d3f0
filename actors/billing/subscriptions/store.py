"""Every query on `subscriptions`.

`slot` holds the user's id from when a subscription is begun until it has ended, and is unique: nobody has two at a
time, however many processes are asked at once.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from promptforge.actors.billing.packs import CreditPack
from promptforge.actors.billing.stripe.sessions import CheckoutSession
from promptforge.actors.billing.stripe.subscriptions import SubscriptionAtStripe
from promptforge.actors.billing.subscriptions.domain import GOING_ON, Subscription, state_of
from promptforge.actors.billing.subscriptions.messages import SubscriptionState
from promptforge.actors.billing.terms import waiver_from, waiver_row
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, Held, Subject, marks

SUBSCRIPTIONS = "subscriptions"

INDEXES: dict[str, tuple[Index, ...]] = {
    SUBSCRIPTIONS: (
        Index((("user_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("slot", 1),), unique=True, partial={"slot": {"$type": "string"}}),
        Index((("stripe_id", 1),), unique=True, partial={"stripe_id": {"$type": "string"}}),
    ),
}
HELD = {
    SUBSCRIPTIONS: Held(
        "Your subscriptions",
        (Subject("user_id", marks(CLEARED, "url")),),
        plain=frozenset(
            {"slot", "plan", "idempotency_key", "state", "customer_id", "waiver", "session_id", "stripe_id"}
        ),
    ),
}
_CREATING, _OPEN, _CANCELED = (
    state.value for state in (SubscriptionState.CREATING, SubscriptionState.OPEN, SubscriptionState.CANCELED)
)
_UNPAID = [_CREATING, _OPEN, SubscriptionState.INCOMPLETE.value]
_LEFT: Document = {"slot": ""}


class SubscriptionStore:
    def __init__(self, mongo: Mongo) -> None:
        self._subscriptions = mongo.collection(SUBSCRIPTIONS)

    async def insert(self, subscription: Subscription) -> bool:
        """False where the user has one that has not ended, or this very one."""
        try:
            await self._insert(subscription)
        except DuplicateKey:
            return False
        return True

    async def _insert(self, subscription: Subscription) -> None:
        await self._subscriptions.insert_one(
            {
                "_id": subscription.id,
                "user_id": subscription.user_id,
                "slot": subscription.user_id,
                "plan": asdict(subscription.plan),
                "idempotency_key": subscription.idempotency_key,
                "state": subscription.state.value,
                "customer_id": subscription.customer_id,
                "waiver": waiver_row(subscription.waiver),
                "session_id": None,
                "stripe_id": None,
                "url": None,
                "paid_until": None,
                "ends_at": None,
                "read_at": None,
                "created_at": subscription.created_at,
            }
        )

    async def find_unfinished(self, user_id: str, plan: CreditPack, *, since: datetime) -> Subscription | None:
        """One to the same plan at the same price whose page may be, or is, there to be paid."""
        row = await self._subscriptions.find_one(
            {
                "user_id": user_id,
                "created_at": {"$gte": since},
                "state": {"$in": [_CREATING, _OPEN]},
                **{f"plan.{name}": value for name, value in asdict(plan).items()},
            },
            sort=[("created_at", -1)],
        )
        return None if row is None else _subscription_from(row)

    async def find_going_on(self, user_id: str, *, session: Session | None = None) -> Subscription | None:
        states = sorted(state.value for state in GOING_ON)
        row = await self._subscriptions.find_one({"user_id": user_id, "state": {"$in": states}}, session=session)
        return None if row is None else _subscription_from(row)

    async def has_page(self, user_id: str, *, since: datetime, session: Session | None) -> bool:
        """Whether there is a page, or may be, of then or later on which nobody has subscribed."""
        wanted = {"user_id": user_id, "created_at": {"$gte": since}, "state": {"$in": _UNPAID}}
        return await self._subscriptions.find_one(wanted, {"_id": 1}, session=session) is not None

    async def open(self, subscription_id: str, session: CheckoutSession) -> Subscription:
        """Keep the page that was made; one that was paid meanwhile stays so."""
        await self._subscriptions.update_one(
            {"_id": subscription_id, "state": _CREATING},
            {"$set": {"state": _OPEN, "session_id": session.id, "url": session.url}},
        )
        return await self.get(subscription_id)

    async def give_up(self, subscription_id: str) -> None:
        await self._subscriptions.update_one(
            {"_id": subscription_id, "state": _CREATING},
            {"$set": {"state": SubscriptionState.FAILED.value}, "$unset": _LEFT},
        )

    async def find_in_slot(self, user_id: str) -> Subscription | None:
        """The one that has not ended."""
        row = await self._subscriptions.find_one({"slot": user_id})
        return None if row is None else _subscription_from(row)

    async def mark_expired(
        self, subscription_id: str, session_id: str | None, *, session: Session | None = None
    ) -> bool:
        """Its page has passed; false where there is no such page that nobody has paid."""
        wanted = {"_id": subscription_id, "state": {"$in": _UNPAID}, "session_id": {"$in": [None, session_id]}}
        ended = {"$set": {"state": SubscriptionState.EXPIRED.value, "url": None}, "$unset": _LEFT}
        return bool((await self._subscriptions.update_one(wanted, ended, session=session)).matched_count)

    async def find(self, subscription_id: str, *, session: Session | None = None) -> Subscription | None:
        row = await self._subscriptions.find_one({"_id": subscription_id}, session=session)
        return None if row is None else _subscription_from(row)

    async def get(self, subscription_id: str) -> Subscription:
        """Raises `NotFound`."""
        found = await self.find(subscription_id)
        if found is None:
            raise NotFound
        return found

    async def get_own(self, subscription_id: str, user_id: str) -> Subscription:
        """Raises `NotFound`, also for another user's."""
        row = await self._subscriptions.find_one({"_id": subscription_id, "user_id": user_id})
        if row is None:
            raise NotFound("There is no such subscription, or it is not yours")
        return _subscription_from(row)

    async def advance(
        self, subscription_id: str, told: SubscriptionAtStripe, *, read_at: datetime, session: Session | None = None
    ) -> bool:
        """Keep how it stands at Stripe. False where something newer is kept: one that was canceled stays so."""
        newer = {"state": _CANCELED} if told.status != "canceled" else {"read_at": {"$gt": read_at}}
        where = {"_id": subscription_id, "$nor": [newer, {"read_at": {"$gt": read_at}}]}
        kept = {
            "state": state_of(told.status).value,
            "stripe_id": told.id,
            "customer_id": told.customer,
            "paid_until": told.paid_until,
            "ends_at": told.ends_at,
            "read_at": read_at,
        }
        change: Document = {"$set": kept, **({"$unset": _LEFT} if told.status == "canceled" else {})}
        done = await self._subscriptions.update_one(where, change, session=session)
        return done.matched_count == 1

    async def list_page(self, user_id: str, cursor: Cursor | None, limit: int) -> Page[Subscription]:
        """Newest first."""
        wanted: Document = {"user_id": user_id, **(cursor.after() if cursor else {})}
        rows = self._subscriptions.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _subscription_from)


def _subscription_from(row: Document) -> Subscription:
    return Subscription(
        id=row["_id"],
        user_id=row["user_id"],
        plan=CreditPack(**row["plan"]),
        idempotency_key=row["idempotency_key"],
        state=SubscriptionState(row["state"]),
        customer_id=row["customer_id"],
        session_id=row["session_id"],
        stripe_id=row["stripe_id"],
        url=row["url"],
        paid_until=row["paid_until"],
        ends_at=row["ends_at"],
        created_at=row["created_at"],
        waiver=waiver_from(row),
    )
