"""Every query on the collection `connect_accounts`: one document for each seller, whose `_id` is the seller's."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from promptforge.actors.billing.connect.domain import KEY_LIVES, ConnectAccount
from promptforge.actors.billing.connect.messages import BankPayoutView
from promptforge.actors.billing.stripe.connect import AccountFacts, BankPayout
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import CLEARED, PEOPLE, Held, Subject, kept, left, marks

ACCOUNTS = "connect_accounts"
INDEXES: dict[str, tuple[Index, ...]] = {
    ACCOUNTS: (Index((("account_id", 1),), unique=True, partial={"account_id": {"$type": "string"}}),),
}
PAID_OUT = kept("it names the bank account that money went to", years=10)
HELD = {
    ACCOUNTS: Held(
        "Your account for payouts at Stripe",
        (Subject("_id", {**marks(CLEARED, "facts"), "account_id": PAID_OUT}, owned=True),),
        plain=frozenset({"country", "last_bank_payout"}),
    ),
}
_LISTS = ("requirements_due", "instruments")


class ConnectStore:
    def __init__(self, mongo: Mongo) -> None:
        self._accounts = mongo.collection(ACCOUNTS)
        self._people = mongo.collection(PEOPLE)

    async def find(self, user_id: str, *, session: Session | None = None) -> ConnectAccount | None:
        row = await self._accounts.find_one({"_id": user_id}, session=session)
        return None if row is None else _account_from(row)

    async def has_left(self, user_id: str, *, session: Session | None) -> bool:
        """Whether the seller's account is closed."""
        return await self._people.find_one(left([user_id]), {"_id": 1}, session=session) is not None

    async def find_by_account(self, account_id: str, *, session: Session | None = None) -> ConnectAccount | None:
        row = await self._accounts.find_one({"account_id": account_id}, session=session)
        return None if row is None else _account_from(row)

    async def begin(self, user_id: str, country: str, *, now: datetime) -> ConnectAccount:
        """The seller's account; where Stripe has made none yet, with a key to be sent that it takes.

        A key that was stored too long ago, or for another country, is not used any more.
        """
        made = {"country": country, "account_id": None, "key_number": 1, "key_stored_at": now, "created_at": now}
        await self._accounts.update_one({"_id": user_id}, {"$setOnInsert": made}, upsert=True)
        spent = {"$or": [{"key_stored_at": {"$lt": now - KEY_LIVES}}, {"country": {"$ne": country}}]}
        await self._accounts.update_one(
            {"_id": user_id, "account_id": None, **spent},
            {"$inc": {"key_number": 1}, "$set": {"country": country, "key_stored_at": now}},
        )
        row = await self._accounts.find_one({"_id": user_id})
        if row is None:
            raise RuntimeError(f"the connected account of {user_id} was removed while it was made")
        return _account_from(row)

    async def spend_key(self, account: ConnectAccount, *, now: datetime) -> None:
        """Stripe answered this key with an error, which it would do again."""
        await self._accounts.update_one(
            {"_id": account.user_id, "account_id": None, "key_number": account.key_number},
            {"$inc": {"key_number": 1}, "$set": {"key_stored_at": now}},
        )

    async def set_account(self, user_id: str, account_id: str) -> str:
        """Keep the account that Stripe has made; answers the one that is kept, which is the first."""
        await self._accounts.update_one({"_id": user_id, "account_id": None}, {"$set": {"account_id": account_id}})
        row = await self._accounts.find_one({"_id": user_id}, {"account_id": 1})
        kept: str = row["account_id"] if row else account_id
        return kept

    async def put_facts(self, account: ConnectAccount, *, session: Session | None) -> None:
        if account.facts is None:
            raise RuntimeError("nothing is known of this account")
        facts = asdict(account.facts)
        facts |= {name: list(facts[name]) for name in _LISTS}
        told = {"facts": facts, "bank_changed_at": account.bank_changed_at, "asked_at": account.asked_at}
        await self._accounts.update_one({"_id": account.user_id}, {"$set": told}, session=session)

    async def put_bank_payout(self, account_id: str, payout: BankPayout, *, session: Session | None) -> None:
        """Of several the newest one is kept."""
        told = {
            "status": payout.status,
            "amount": payout.amount,
            "currency": payout.currency,
            "failure_code": payout.failure_code,
            "created_at": payout.created,
        }
        newer = {"last_bank_payout.created_at": {"$gt": payout.created}}
        await self._accounts.update_one(
            {"account_id": account_id, "$nor": [newer]}, {"$set": {"last_bank_payout": told}}, session=session
        )


def _account_from(row: Document) -> ConnectAccount:
    facts, payout = row.get("facts"), row.get("last_bank_payout")
    if facts:
        facts = {**facts, **{name: tuple(facts.get(name, ())) for name in _LISTS}}
    return ConnectAccount(
        user_id=row["_id"],
        country=row["country"],
        key_number=row["key_number"],
        key_stored_at=row["key_stored_at"],
        account_id=row["account_id"],
        facts=AccountFacts(**facts) if facts else None,
        bank_changed_at=row.get("bank_changed_at"),
        asked_at=row.get("asked_at"),
        last_bank_payout=BankPayoutView(**payout) if payout else None,
    )
