"""Every query on journals, legs and stored balances.

Collections: `ledger_journals` (one document per posting, `_id` is its business key), `transactions` (its legs) and the
field `credits` of `users`, which belongs to this store alone. Journals and legs are inserted and never changed. Posting
works in the caller's transaction only: a journal, its legs and the balances they change are one commit, and the
snapshot that the balances were read from is the one they are written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from promptforge.actors.billing.errors import InsufficientCredits, JournalMismatch
from promptforge.actors.billing.ledger.domain import (
    EXPIRES_AT,
    Fund,
    Journal,
    JournalKind,
    Leg,
    Owed,
    PartnerAccount,
    UserAccount,
    account_named,
)
from promptforge.actors.billing.ledger.holdings import (
    Holdings,
    Lot,
    Lots,
    brought_by,
    came_back,
    changes_of,
    lots_after,
    stored_legs,
    with_debts_paid,
)
from promptforge.actors.billing.ledger.topups.store import TOPUPS
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject, kept, left

JOURNALS = "ledger_journals"
LEGS = "transactions"
PARTNERS = "ledger_partners"
USERS = "users"
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)

INDEXES: dict[str, tuple[Index, ...]] = {
    JOURNALS: (
        Index((("parties", 1), ("created_at", -1), ("_id", -1))),
        Index((("kind", 1), ("_id", 1))),
        Index((("created_at", 1), ("_id", 1))),
        Index((("refs.budget_id", 1), ("_id", 1)), partial={"refs.budget_id": {"$exists": True}}),
    ),
    LEGS: (
        Index((("user_id", 1), ("created_at", 1))),
        Index((("journal_id", 1),)),
        Index(
            (("user_id", 1), ("account", 1), ("created_at", 1), ("amount", 1)),
            partial={"account": Owed.PENDING.value},
        ),
        Index(
            (("lot", 1), ("account", 1), ("source", 1), ("amount", 1)),
            partial={"lot": {"$type": "string"}},
        ),
        Index(
            (("account", 1), ("journal_id", 1), ("amount", 1)),
            partial={"account": {"$gte": "partner:", "$lt": "partner;"}},
        ),
    ),
    PARTNERS: (),
    USERS: (Index((("credits.lots.expires_at", 1),), partial={"credits.lots.expires_at": {"$exists": True}}),),
}
LEDGER = "the ledger is sealed; it holds internal ids, and reasons that staff gave: for good"
HELD = {
    JOURNALS: Held(
        "What moved your credits",
        (Subject("parties", {"refs": kept(LEDGER)}),),
        plain=frozenset({"_id", "kind", "refs", "reverses"}),
    ),
    LEGS: Held("How much of your credits moved", (Subject("user_id"),), plain=frozenset({"*"})),
    PARTNERS: Held("What you have earned as a partner and not collected", (Subject("_id", of="partners"),)),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal as one of its parties sees it: with that party's legs only."""

    id: str
    kind: str
    refs: dict[str, str]
    created_at: datetime
    legs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unfolded:
    """The sum of some pending legs, and how many they are."""

    amount: int
    legs: int


class LedgerStore:
    def __init__(self, mongo: Mongo) -> None:
        self._journals = mongo.collection(JOURNALS)
        self._legs = mongo.collection(LEGS)
        self._users = mongo.collection(USERS)
        self._partners = mongo.collection(PARTNERS)
        self._topups = mongo.collection(TOPUPS)

    # Posting

    async def post(self, journal: Journal, *, now: datetime, session: Session) -> bool:
        """Post a journal once. False where its key was posted before with the same facts: nothing is written then.

        Raises `InsufficientCredits` where a balance or a lot would go below zero, `JournalMismatch` where the key was
        posted with other facts, `NotFound` where a user whose balance changes does not exist.
        """
        before = {user_id: await self.get_holdings(user_id, session=session) for user_id in stored_legs(journal)}
        journal = with_debts_paid(journal, before)
        if not await self._insert_journal(journal, now, session):
            return False
        rows = leg_rows(journal, now)
        if rows:
            await self._legs.insert_many(rows, session=session)
        for user_id, legs in stored_legs(journal).items():
            held = before[user_id].lots
            lots = brought_by(journal, lots_after(held, legs))
            if came_back(held, lots, journal.id):
                lots = await self._in_order(lots, session)
            await self.fold(user_id, changes_of(legs), held, lots, session=session)
        for leg in journal.legs:
            if isinstance(leg.account, PartnerAccount) and leg.account.settled:
                await self._fold_partner(leg.account.partner_id, leg.amount, session)
        return True

    async def _in_order(self, lots: Lots, session: Session) -> Lots:
        """Lots in the order in which they came, which is that of the journals that brought them.

        One that came back is frozen again if the dispute of its charge is still open, and expires when it always did.
        """
        wanted = {"_id": {"$in": [lot.id for lot in lots]}}
        fields = {"created_at": 1, f"refs.{EXPIRES_AT}": 1}
        rows = await self._journals.find(wanted, fields, session=session).to_list(len(lots))
        came = {row["_id"]: row["created_at"] for row in rows}
        until = {row["_id"]: row.get("refs", {}).get(EXPIRES_AT) for row in rows}
        disputed = {**wanted, "frozen_by.0": {"$exists": True}}
        frozen = {row["_id"] for row in await self._topups.find(disputed, {"_id": 1}, session=session).to_list(None)}
        marked = (replace(lot, frozen=lot.id in frozen, expires_at=_moment(until.get(lot.id))) for lot in lots)
        return tuple(sorted(marked, key=lambda lot: (came.get(lot.id, _BEFORE_ALL), lot.id)))

    async def _insert_journal(self, journal: Journal, now: datetime, session: Session) -> bool:
        """An upsert: a duplicate key would abort the caller's transaction, and of two at once one starts over."""
        row = journal_row(journal, now)
        del row["_id"]  # the filter says it
        facts = {"kind": row["kind"], "refs": row["refs"]}
        written = await self._journals.update_one(
            {"_id": journal.id}, {"$setOnInsert": row}, upsert=True, session=session
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
        for account, amount in changes.items():
            if account is Owed.DEBT:  # below zero is what is owed; more than that is not paid
                wanted |= {"credits.debt": {"$lte": -amount}} if amount > 0 else {}
            elif amount < 0:
                wanted[f"credits.{account}"] = {"$gte": -amount}
        update: Document = {}
        if changes:
            update["$inc"] = {f"credits.{account}": amount for account, amount in changes.items()}
        if new_lots != lots:
            update["$set"] = {"credits.lots": _lot_rows(new_lots)}
        if not update:
            return
        written = await self._users.update_one(wanted, update, session=session)
        if not written.matched_count:
            raise InsufficientCredits

    async def _fold_partner(self, partner_id: str, amount: int, session: Session) -> None:
        if amount < 0:
            enough = {"_id": partner_id, "earned": {"$gte": -amount}}
            if not (
                await self._partners.update_one(enough, {"$inc": {"earned": amount}}, session=session)
            ).matched_count:
                raise InsufficientCredits
        else:
            wanted = {"_id": partner_id}
            await self._partners.update_one(wanted, {"$inc": {"earned": amount}}, upsert=True, session=session)

    async def freeze_lot(self, user_id: str, lot_id: str, *, frozen: bool, session: Session) -> None:
        """Mark what is left of a lot, if anything is. The user is written either way: where the lot comes back at the
        same time, one of both starts over on what the other left.
        """
        lots = (await self.get_holdings(user_id, session=session)).lots
        marked = tuple(replace(lot, frozen=frozen) if lot.id == lot_id else lot for lot in lots)
        await self.fold(user_id, {}, lots, marked, session=session)
        await self._users.update_one({"_id": user_id}, {"$inc": {"credits.freezes": 1}}, session=session)

    async def fold_pending(self, user_id: str, *, until: datetime, session: Session) -> bool:
        """Add the pending legs made up to `until` to the stored balance; whether there were any.

        `until` is far enough in the past that no transaction can still add an earlier leg.
        """
        holdings = await self.get_holdings(user_id, session=session)
        after = holdings.pending_through
        if after is not None and after >= until:
            return False
        unfolded = await self.sum_unfolded(user_id, after, until=until, session=session)
        if not unfolded.legs:
            return False
        await self._users.update_one(
            {"_id": user_id, "credits.pending_through": after},
            {"$inc": {"credits.pending": unfolded.amount}, "$set": {"credits.pending_through": until}},
            session=session,
        )
        return True

    # Reading

    async def list_with_expired(self, moment: datetime, *, after: str, limit: int) -> list[str]:
        """Users behind `after` with a lot that has expired by then."""
        wanted = {"credits.lots.expires_at": {"$lte": moment}, "_id": {"$gt": after}}
        rows = await self._users.find(wanted, {"_id": 1}).sort([("_id", 1)]).limit(limit).to_list(limit)
        return [row["_id"] for row in rows]

    async def get_holdings(self, user_id: str, *, session: Session | None = None) -> Holdings:
        """A user's stored balances; zeros for whoever never had any. Raises `NotFound` for an unknown user."""
        row = await self._users.find_one({"_id": user_id}, {"credits": 1}, session=session)
        if row is None:
            raise NotFound(f"There is no user {user_id}")
        return holdings_from(row.get("credits") or {})

    async def is_closed(self, user_id: str, *, session: Session | None) -> bool:
        """Whether the account is, for good; whatever is posted to it conflicts with its closing."""
        return await self._users.find_one(left([user_id]), {"_id": 1}, session=session) is not None

    async def sum_unfolded(
        self, user_id: str, after: datetime | None, *, until: datetime | None = None, session: Session | None = None
    ) -> Unfolded:
        """The pending legs that no settlement has folded yet; read from the index alone."""
        wanted: Document = {"user_id": user_id, "account": Owed.PENDING.value}
        bounds = {"$gt": after, "$lte": until}
        if any(bounds.values()):
            wanted["created_at"] = {operator: moment for operator, moment in bounds.items() if moment is not None}
        sums = {"_id": None, "amount": {"$sum": "$amount"}, "legs": {"$sum": 1}}
        pipeline: list[Document] = [{"$match": wanted}, {"$group": sums}]
        found = await self._legs.aggregate(pipeline, session=session).to_list(1)
        return Unfolded(found[0]["amount"], found[0]["legs"]) if found else Unfolded(0, 0)

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
            reverses=row.get("reverses"),
        )

    async def origins(self, journal_ids: Sequence[str]) -> dict[str, tuple[str, datetime]]:
        """Journal → its kind and when it was posted."""
        rows = self._journals.find({"_id": {"$in": list(journal_ids)}}, {"kind": 1, "created_at": 1})
        return {row["_id"]: (row["kind"], row["created_at"]) for row in await rows.to_list(len(journal_ids) or 1)}

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
            return Entry(row["_id"], row["kind"], _told(row["refs"], user_id), row["created_at"], mine)

        return page_of(journals, limit, entry)


def _told(refs: dict[str, str], user_id: str) -> dict[str, str]:
    """A referrer, of whom a commission was taken back, hears which purchase it was, and not who bought what of whom."""
    if refs.get("referrer_id") != user_id or user_id in {refs.get("buyer_id"), refs.get("seller_id")}:
        return refs
    return {name: refs[name] for name in ("purchase_id", "partner_id") if name in refs}


def holdings_from(credits: Document) -> Holdings:
    """Read the field `credits` of a user."""
    return Holdings(
        **{name: credits.get(name, 0) for name in (*Fund, *Owed)},
        pending_through=credits.get("pending_through"),
        lots=tuple(
            Lot(lot["lot"], Fund(lot["fund"]), lot["remaining"], lot.get("frozen", False), lot.get("expires_at"))
            for lot in credits.get("lots") or ()
        ),
    )


def credits_row(holdings: Holdings) -> Document:
    """The same, as it is stored; nothing is folded yet."""
    return {**{name.value: holdings.balance(name) for name in (*Fund, *Owed)}, "lots": _lot_rows(holdings.lots)}


def _lot_rows(lots: Lots) -> list[dict[str, Any]]:  # Any: BSON values
    """The order of the fields is part of what a filter compares."""
    return [
        {
            "lot": lot.id,
            "fund": lot.fund.value,
            "remaining": lot.remaining,
            **({"frozen": True} if lot.frozen else {}),
            **({"expires_at": lot.expires_at} if lot.expires_at else {}),
        }
        for lot in lots
    ]


def _moment(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None


def journal_row(journal: Journal, now: datetime) -> Document:
    """A journal as it is stored."""
    return {
        "_id": journal.id,
        "kind": journal.kind.value,
        "refs": dict(journal.refs),
        "parties": list(journal.parties),
        "reverses": journal.reverses,
        "leg_count": len(journal.legs),
        "created_at": now,
    }


def leg_rows(journal: Journal, now: datetime) -> list[Document]:
    """Its legs as they are stored."""
    return [_leg_row(journal.id, number, leg, now) for number, leg in enumerate(journal.legs)]


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
        account=account_named(row["account"]),
        amount=row["amount"],
        user_id=row["user_id"],
        lot=row["lot"],
        source=Fund(row["source"]) if row["source"] else None,
    )
