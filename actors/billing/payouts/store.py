"""Every query on the collection `payouts`. What moves a payout says from which states: of two one is late."""

from __future__ import annotations

from collections.abc import Collection as Group
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from promptforge.actors.billing.payouts.domain import AT_STRIPE, GOING_ON, OPEN, Payout
from promptforge.actors.billing.payouts.messages import PayoutProgress
from promptforge.actors.billing.stripe.connect import BankPayout
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, Erased, Held, Subject, kept, marks

PAYOUTS = "payouts"
INDEXES: dict[str, tuple[Index, ...]] = {
    PAYOUTS: (
        Index((("user_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("state", 1), ("created_at", -1), ("_id", -1))),
        Index((("created_at", -1), ("_id", -1))),
        Index((("account_id", 1), ("transferred_at", -1))),
        Index((("transfer_id", 1),), partial={"transfer_id": {"$type": "string"}}),
    ),
}
RECORD = kept("a record of money paid", years=10, since="created_at", then=Erased.REDACTED)
HELD = {
    PAYOUTS: Held(
        "Your payouts",
        (Subject("user_id", {"account_id": RECORD, **marks(CLEARED, "reason")}),),
        plain=frozenset({"currency", "rate", "state", "transfer_id", "bank_status", "bank_payout_id", "reason_code"}),
    ),
}
_FIELDS = [field.name for field in fields(Payout) if field.name != "id"]
_OPEN = sorted(OPEN)
_GOING_ON = sorted(GOING_ON)
_AT_STRIPE = sorted(AT_STRIPE)


class PayoutStore:
    def __init__(self, mongo: Mongo) -> None:
        self._payouts = mongo.collection(PAYOUTS)

    async def insert(self, payout: Payout, *, session: Session) -> None:
        row = {**asdict(payout), "state": payout.state.value, "touched_at": payout.created_at}
        row["_id"] = row.pop("id")
        await self._payouts.insert_one(row, session=session)

    async def find(self, payout_id: str, *, session: Session | None = None) -> Payout | None:
        row = await self._payouts.find_one({"_id": payout_id}, session=session)
        return None if row is None else _payout_from(row)

    async def get(self, payout_id: str, *, owner_id: str | None, session: Session | None = None) -> Payout:
        """`owner_id`: whose it must be; None for anybody's. Raises `NotFound`."""
        payout = await self.find(payout_id, session=session)
        if payout is None or owner_id not in {None, payout.user_id}:
            raise NotFound("There is no such payout, or it is not yours")
        return payout

    async def find_open(self, user_id: str, *, session: Session | None) -> Payout | None:
        row = await self._payouts.find_one({"user_id": user_id, "state": {"$in": _OPEN}}, session=session)
        return None if row is None else _payout_from(row)

    async def move(
        self,
        payout_id: str,
        states: Group[PayoutProgress],
        *,
        now: datetime,
        session: Session | None,
        of_key: int | None = None,
        **changes: Any,  # Any: BSON
    ) -> Payout | None:
        """Change a payout that is in one of `states`, and `of_key` where that matters; None where it has moved on."""
        wanted: Document = {"_id": payout_id, "state": {"$in": [state.value for state in states]}}
        wanted |= {} if of_key is None else {"key_number": of_key}
        changed = {name: value.value if isinstance(value, PayoutProgress) else value for name, value in changes.items()}
        row = await self._payouts.find_one_and_update(
            wanted,
            {"$set": {**changed, "touched_at": now}},
            session=session,
        )
        return None if row is None else _payout_from(row)

    async def use_another_key(self, payout: Payout, *, now: datetime) -> Payout | None:
        """Before Stripe hears of it. None where another process has done so, or the payout has moved on."""
        row = await self._payouts.find_one_and_update(
            {"_id": payout.id, "state": {"$in": _AT_STRIPE}, "key_number": payout.key_number},
            {"$inc": {"key_number": 1}, "$set": {"key_stored_at": now, "look_first": False, "touched_at": now}},
        )
        return None if row is None else _payout_from(row)

    async def note_bank(self, account_id: str, payout: BankPayout, *, session: Session) -> None:
        """What Stripe says of its payout to the bank, with what was sent before it, unless another one has paid that.

        Stripe sends what is there, and does not say for which transfers: of these it is the likely end.
        """
        before = {"transferred_at": {"$lte": payout.created}}
        sent = {"account_id": account_id, "state": PayoutProgress.SENT.value, **before}
        unpaid = {"$or": [{"bank_status": {"$ne": "paid"}}, {"bank_payout_id": payout.id}]}
        told = {"bank_status": payout.status, "bank_payout_id": payout.id}
        await self._payouts.update_many({**sent, **unpaid}, {"$set": told}, session=session)

    async def list_page(
        self, cursor: Cursor | None, limit: int, *, user_id: str | None = None, state: PayoutProgress | None = None
    ) -> Page[Payout]:
        """Newest first."""
        wanted: Document = {} if user_id is None else {"user_id": user_id}
        wanted |= {} if state is None else {"state": state.value}
        wanted |= cursor.after() if cursor else {}
        rows = self._payouts.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _payout_from)

    async def list_left(self, *, before: datetime, after: str, limit: int) -> list[str]:
        """Payouts under way that nobody has touched since, from the one after `after` on."""
        wanted = {"_id": {"$gt": after}, "state": {"$in": _GOING_ON}, "touched_at": {"$lt": before}}
        rows = await self._payouts.find(wanted, {"_id": 1}).sort([("_id", 1)]).limit(limit).to_list(limit)
        return [row["_id"] for row in rows]


def _payout_from(row: Document) -> Payout:
    known: dict[str, Any] = {name: row[name] for name in _FIELDS if name != "reason_code"}  # Any: BSON
    known["reason_code"] = row.get("reason_code")  # reasons from before there were codes have none
    known["state"] = PayoutProgress(row["state"])
    return Payout(id=row["_id"], **known)
