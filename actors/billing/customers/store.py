"""Every query on `stripe_customers`: one document for each user, whose `_id` is the user's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.core.errors import NotFound
from promptforge.core.mongo import Index, Mongo
from promptforge.core.personal import Erased, Held, Subject, kept

CUSTOMERS = "stripe_customers"
INDEXES: dict[str, tuple[Index, ...]] = {
    CUSTOMERS: (
        Index((("customer_id", 1),), unique=True, partial={"customer_id": {"$type": "string"}}),
        Index((("gone", 1),), partial={"gone": {"$exists": True}}),
    ),
}
_PAID = "it leads to the invoices at Stripe, which are tax records"
PAID = kept(_PAID, years=10)
HELD = {
    CUSTOMERS: Held(
        "You as a customer at Stripe",
        (
            Subject(
                "_id",
                {"customer_id": PAID, "gone": kept(_PAID, years=10, then=Erased.EMPTIED)},
                owned=True,
            ),
        ),
        plain=frozenset({"idempotency_key"}),
    ),
}


@dataclass(frozen=True, slots=True)
class Customer:
    """The Stripe customer of a user. `customer_id` is None while it is not known whether Stripe has made it."""

    user_id: str
    idempotency_key: str
    customer_id: str | None


class CustomerStore:
    def __init__(self, mongo: Mongo) -> None:
        self._customers = mongo.collection(CUSTOMERS)

    async def begin(self, user_id: str, *, now: datetime) -> Customer:
        """The user's customer, or the key with which to make it: it is stored before Stripe hears of it."""
        kept = {"idempotency_key": f"customer:{user_id}", "customer_id": None, "created_at": now}
        await self._customers.update_one({"_id": user_id}, {"$setOnInsert": kept}, upsert=True)
        found = await self.find(user_id)
        if found is None:
            raise NotFound
        return found

    async def find(self, user_id: str) -> Customer | None:
        row = await self._customers.find_one({"_id": user_id})
        return None if row is None else Customer(row["_id"], row["idempotency_key"], row["customer_id"])

    async def keep(self, user_id: str, customer_id: str) -> None:
        await self._customers.update_one({"_id": user_id}, {"$set": {"customer_id": customer_id}})

    async def forget(self, user_id: str, gone: str, another: str) -> None:
        """The customer was deleted at Stripe: the next one is made with `another` key. Its id stays for the record."""
        await self._customers.update_one(
            {"_id": user_id, "customer_id": gone},
            {"$set": {"customer_id": None, "idempotency_key": another}, "$push": {"gone": gone}},
        )

    async def use_another_key(self, user_id: str, refused: str, another: str) -> None:
        """Stripe answers every request with the refused key as it did the first."""
        await self._customers.update_one(
            {"_id": user_id, "idempotency_key": refused, "customer_id": None}, {"$set": {"idempotency_key": another}}
        )
