"""What verification reads of users' accounts: what is stored of each, what their legs sum to, and what is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from promptforge.actors.billing.ledger.domain import LARGEST, WITH_LOTS, Owed
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.store import LEGS, USERS, holdings_from
from promptforge.actors.billing.ledger.streams import SortedStream
from promptforge.actors.billing.ledger.topups.store import FROZEN, TOPUPS
from promptforge.core.mongo import Document, Mongo, Session, patient_rows, read_snapshot

_TEXT: Document = {"_id": {"$type": "string"}}
_LEG_FIELDS = dict.fromkeys(("user_id", "account", "amount", "lot", "created_at"), 1)
_IS_AMOUNT: Document = {
    "$and": [
        {"$in": [{"$type": "$amount"}, ["int", "long"]]},
        {"$ne": ["$amount", 0]},
        {"$gte": ["$amount", -LARGEST]},
    ]
}


@dataclass(frozen=True, slots=True)
class AccountSeen:
    """A user, the payments of theirs that something freezes, and their legs: by account and lot (where the account has
    lots) the sum of the amounts, and how many legs there are. Pending ones that are not folded sum to nothing.
    """

    user: Document | None
    frozen: frozenset[str]
    sums: tuple[tuple[str, str, int], ...]
    legs: int


class AccountAudit:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._users = mongo.collection(USERS)
        self._legs = mongo.collection(LEGS)
        self._topups = mongo.collection(TOPUPS)

    def users(self) -> SortedStream:
        rows = self._users.find(_TEXT, {"credits": 1}).sort([("_id", 1)])
        return SortedStream(rows, itemgetter("_id"))

    def legs_by_user(self) -> SortedStream:
        """Those of users; the platform's accounts have no stored balance."""
        wanted: Document = {"user_id": {"$gt": "", "$not": {"$type": "array"}}}
        rows = self._legs.find(wanted, _LEG_FIELDS).sort([("user_id", 1), ("created_at", 1)])
        return SortedStream(rows, itemgetter("user_id"))

    def frozen_topups(self) -> SortedStream:
        """Payments that something freezes, by who has paid."""
        rows = self._topups.find({**FROZEN, "user_id": {"$gt": ""}}, {"user_id": 1}).sort([("user_id", 1)])
        return SortedStream(rows, itemgetter("user_id"))

    async def account(self, user_id: str) -> AccountSeen:
        """One user, of one moment. Their legs are added up by the database, for they may be millions."""

        async def read(session: Session) -> AccountSeen:
            user = await self._users.find_one({"_id": user_id}, {"credits": 1}, session=session)
            frozen = self._topups.find({**FROZEN, "user_id": user_id}, {"_id": 1}, session=session)
            topups = frozenset([row["_id"] async for row in frozen])
            summed = self._legs.aggregate(
                _by_account(user_id, stored_of(user).pending_through), session=session, allowDiskUse=True
            )
            sums, legs = [], 0
            async for row in patient_rows(summed):
                sums.append((str(row["_id"].get("account")), str(row["_id"].get("lot")), row["sum"]))
                legs += row["legs"]
            return AccountSeen(user, topups, tuple(sums), legs)

        return await read_snapshot(self._mongo, read)


def stored_of(user: Document | None) -> Holdings:
    return holdings_from((user or {}).get("credits") or {})


def _by_account(user_id: str, through: datetime | None) -> list[Document]:
    """What is none of a leg's amounts is reported with its journal, and adds nothing here."""
    folded: Document = {"$and": [{"$eq": [{"$type": "$created_at"}, "date"]}, {"$lte": ["$created_at", through]}]}
    counts: Document = {"$or": [{"$ne": ["$account", Owed.PENDING.value]}, folded if through is not None else False]}
    lot: Document = {"$cond": [{"$in": ["$account", sorted(WITH_LOTS)]}, "$lot", None]}
    summed: Document = {"$sum": {"$cond": [{"$and": [_IS_AMOUNT, counts]}, "$amount", 0]}}
    by: Document = {"_id": {"account": "$account", "lot": lot}, "sum": summed, "legs": {"$sum": 1}}
    return [{"$match": {"user_id": user_id}}, {"$group": by}]
