"""Every query on journals, legs and stored balances.

Collections: `ledger_journals` (one document per posting, `_id` is its business key), `transactions` (its legs) and the
field `credits` of `users`, which belongs to this store alone. Journals and legs are inserted and never changed. Posting
works in the caller's transaction only: a journal, its legs and the balances they change are one commit, and the
snapshot that the balances were read from is the one they are written to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from promptforge.actors.billing.errors import InsufficientCredits, JournalMismatch
from promptforge.actors.billing.ledger.domain import (
    ACCOUNTS,
    Fund,
    Holdings,
    Journal,
    JournalKind,
    Leg,
    Lot,
    Lots,
    Owed,
    UserAccount,
    came_back,
    lots_after,
    stored_changes,
)
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of

JOURNALS = "ledger_journals"
LEGS = "transactions"
USERS = "users"

INDEXES: dict[str, tuple[Index, ...]] = {
    JOURNALS: (Index((("parties", 1), ("created_at", -1), ("_id", -1))), Index((("kind", 1), ("_id", 1)))),
    LEGS: (
        Index((("user_id", 1), ("created_at", 1))),
        Index((("journal_id", 1),)),
        Index(
            (("user_id", 1), ("account", 1), ("created_at", 1), ("amount", 1)),
            partial={"account": Owed.PENDING.value},
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal as one of its parties sees it: with that party's legs only."""

    id: str
    kind: str
    refs: dict[str, str]
    created_at: datetime
    legs: tuple[tuple[str, int], ...]


class LedgerStore:
    def __init__(self, mongo: Mongo) -> None:
        self._journals = mongo.collection(JOURNALS)
        self._legs = mongo.collection(LEGS)
        self._users = mongo.collection(USERS)

    # Posting

    async def post(self, journal: Journal, *, now: datetime, session: Session) -> bool:
        """Post a journal once. False where its key was posted before with the same facts: nothing is written then.

        Raises `InsufficientCredits` where a balance or a lot would go below zero, `JournalMismatch` where the key was
        posted with other facts, `NotFound` where a user whose balance changes does not exist.
        """
        if not await self._insert_journal(journal, now, session):
            return False
        rows = [_leg_row(journal.id, number, leg, now) for number, leg in enumerate(journal.legs)]
        if rows:
            await self._legs.insert_many(rows, session=session)
        for user_id, changes in stored_changes(journal).items():
            holdings = await self.get_holdings(user_id, session=session)
            legs = [leg for leg in journal.legs if leg.user_id == user_id]
            lots = lots_after(holdings.lots, legs)
            if came_back(holdings.lots, lots, journal.id):
                lots = await self._in_order(lots, session)
            await self.fold(user_id, changes, holdings.lots, lots, session=session)
        return True

    async def _in_order(self, lots: Lots, session: Session) -> Lots:
        """Lots in the order in which they came, which is that of the journals that brought them."""
        ids = [lot.id for lot in lots]
        rows = await self._journals.find({"_id": {"$in": ids}}, {"created_at": 1}, session=session).to_list(len(ids))
        came = {row["_id"]: row["created_at"] for row in rows}
        return tuple(sorted(lots, key=lambda lot: (came[lot.id], lot.id)))

    async def _insert_journal(self, journal: Journal, now: datetime, session: Session) -> bool:
        """An upsert: a duplicate key would abort the caller's transaction, and of two at once one starts over."""
        facts = {"kind": journal.kind.value, "refs": dict(journal.refs)}
        details = {"parties": list(journal.parties), "leg_count": len(journal.legs), "created_at": now}
        written = await self._journals.update_one(
            {"_id": journal.id}, {"$setOnInsert": {**facts, **details}}, upsert=True, session=session
        )
        if written.upserted_id is not None:
            return True
        there = await self._journals.find_one({"_id": journal.id}, {"kind": 1, "refs": 1}, session=session)
        if there is None or {"kind": there["kind"], "refs": there["refs"]} != facts:
            raise JournalMismatch(f"{journal.id} was posted before, and differently")
        return False

    async def fold(
        self,
        user_id: str,
        changes: dict[UserAccount, int],
        lots: Lots,
        new_lots: Lots,
        *,
        session: Session | None,
    ) -> None:
        """Add `changes` to the stored balances where none goes below zero and the lots are still `lots`.

        Both conditions are in the filter, so that they hold whatever was read before: where they do not, nothing
        matches and `InsufficientCredits` is raised.
        """
        wanted: Document = {"_id": user_id, "credits.lots": {"$in": [None, []]} if not lots else _lot_rows(lots)}
        wanted |= {f"credits.{account}": {"$gte": -amount} for account, amount in changes.items() if amount < 0}
        update: Document = {"$inc": {f"credits.{account}": amount for account, amount in changes.items()}}
        if new_lots != lots:
            update["$set"] = {"credits.lots": _lot_rows(new_lots)}
        written = await self._users.update_one(wanted, update, session=session)
        if not written.matched_count:
            raise InsufficientCredits

    # Reading

    async def get_holdings(self, user_id: str, *, session: Session | None = None) -> Holdings:
        """A user's stored balances; zeros for whoever never had any. Raises `NotFound` for an unknown user."""
        row = await self._users.find_one({"_id": user_id}, {"credits": 1}, session=session)
        if row is None:
            raise NotFound(f"There is no user {user_id}")
        return holdings_from(row.get("credits") or {})

    async def sum_unfolded(self, user_id: str, after: datetime | None, *, session: Session | None = None) -> int:
        """The sum of the pending legs that no settlement has folded yet; read from the index alone."""
        wanted: Document = {"user_id": user_id, "account": Owed.PENDING.value}
        if after is not None:
            wanted["created_at"] = {"$gt": after}
        pipeline: list[Document] = [{"$match": wanted}, {"$group": {"_id": None, "sum": {"$sum": "$amount"}}}]
        found = await self._legs.aggregate(pipeline, session=session).to_list(1)
        return int(found[0]["sum"]) if found else 0

    async def find_journal(self, journal_id: str, *, session: Session | None = None) -> Journal | None:
        """A posted journal with its legs."""
        row = await self._journals.find_one({"_id": journal_id}, session=session)
        if row is None:
            return None
        legs = await self._legs.find({"journal_id": journal_id}, session=session).sort([("_id", 1)]).to_list(None)
        return Journal(
            id=journal_id,
            kind=JournalKind(row["kind"]),
            refs=row["refs"],
            legs=tuple(_leg_from(leg) for leg in legs),
            parties=tuple(row["parties"]),
        )

    async def list_entries(self, user_id: str, cursor: Cursor | None, limit: int) -> Page[Entry]:
        """The journals that a user is a party to, newest first."""
        wanted: Document = {"parties": user_id, **(cursor.after() if cursor else {})}
        rows = self._journals.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        journals = await rows.to_list(limit + 1)
        found = self._legs.find({"journal_id": {"$in": [row["_id"] for row in journals]}, "user_id": user_id})
        legs: dict[str, list[tuple[str, int]]] = {}
        for leg in await found.sort([("_id", 1)]).to_list(None):
            legs.setdefault(leg["journal_id"], []).append((leg["account"], leg["amount"]))

        def entry(row: Document) -> Entry:
            mine = tuple(legs.get(row["_id"], ()))
            return Entry(row["_id"], row["kind"], row["refs"], row["created_at"], mine)

        return page_of(journals, limit, entry)


def holdings_from(credits: Document) -> Holdings:
    """Read the field `credits` of a user."""
    return Holdings(
        **{name: credits.get(name, 0) for name in (*Fund, *Owed)},
        pending_through=credits.get("pending_through"),
        lots=tuple(Lot(lot["lot"], Fund(lot["fund"]), lot["remaining"]) for lot in credits.get("lots") or ()),
    )


def _lot_rows(lots: Lots) -> list[dict[str, Any]]:  # Any: BSON values
    """The order of the fields is part of what a filter compares."""
    return [{"lot": lot.id, "fund": lot.fund.value, "remaining": lot.remaining} for lot in lots]


def _leg_row(journal_id: str, number: int, leg: Leg, now: datetime) -> Document:
    return {
        "_id": f"{journal_id}#{number:03d}",
        "journal_id": journal_id,
        "user_id": leg.user_id,
        "account": leg.account.value,
        "amount": leg.amount,
        "lot": leg.lot,
        "source": leg.source.value if leg.source else None,
        "created_at": now,
    }


def _leg_from(row: Document) -> Leg:
    return Leg(
        account=ACCOUNTS[row["account"]],
        amount=row["amount"],
        user_id=row["user_id"],
        lot=row["lot"],
        source=Fund(row["source"]) if row["source"] else None,
    )
