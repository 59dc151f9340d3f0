"""Every query on `seller_details` and `seller_totals`, and the sums of the ledger that the latter keep.

Details are sealed with a key from SECRET_KEY; only what traders have to show to everybody is kept as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from promptforge.actors.billing.ledger.domain import JournalKind, Platform
from promptforge.actors.billing.ledger.store import JOURNALS, LEGS
from promptforge.actors.billing.payouts.messages import PayoutProgress
from promptforge.actors.billing.payouts.store import PAYOUTS
from promptforge.actors.billing.sellers.messages import SellerDetails, SellerDetailsView
from promptforge.core.jobs import Sealer
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of

DETAILS = "seller_details"
TOTALS = "seller_totals"
INDEXES: dict[str, tuple[Index, ...]] = {
    DETAILS: (),
    TOTALS: (Index((("period", 1), ("created_at", -1), ("_id", -1))),),
}
_SOLD = [JournalKind.PURCHASE.value, JournalKind.RUN_CLOSE.value]
_BACK = [JournalKind.PURCHASE_REFUND.value, JournalKind.RUN_REFUND.value]
_RUNS = [JournalKind.RUN_CLOSE.value, JournalKind.RUN_REFUND.value]
_details = TypeAdapter(SellerDetails)
NOBODY = SellerDetailsView(None, trader=False, updated_at=None)


def quarter_of(year: int, quarter: int) -> tuple[datetime, datetime]:
    """Its first moment, and the first one after it, in UTC."""
    begins = datetime(year, 3 * quarter - 2, 1, tzinfo=UTC)
    return begins, datetime(year + quarter // 4, 3 * (quarter % 4) + 1, 1, tzinfo=UTC)


class SellerStore:
    def __init__(self, mongo: Mongo, sealer: Sealer) -> None:
        self._details = mongo.collection(DETAILS)
        self._totals = mongo.collection(TOTALS)
        self._journals = mongo.collection(JOURNALS)
        self._payouts = mongo.collection(PAYOUTS)
        self._sealer = sealer

    # Who they are

    async def put(
        self, user_id: str, details: SellerDetails, *, trader: bool, now: datetime, session: Session | None
    ) -> None:
        sealed = self._sealer.seal(_details.dump_json(details))
        shown = {
            "name": details.name,
            "street": details.street,
            "postal_code": details.postal_code,
            "city": details.city,
            "country": details.country,
            "email": details.trader_email,
            "registration_number": details.registration_number,
            "vat_number": details.vat_number,
        }
        kept = {"sealed": sealed, "trader": shown if trader else None, "updated_at": now}
        await self._details.update_one({"_id": user_id}, {"$set": kept}, upsert=True, session=session)

    async def find(self, user_id: str, *, session: Session | None = None) -> SellerDetailsView:
        return self._view(await self._details.find_one({"_id": user_id}, session=session))

    async def find_trader(self, user_id: str) -> dict[str, Any] | None:  # Any: BSON values
        """What is shown of a trader; None for whoever is none."""
        row = await self._details.find_one({"_id": user_id}, {"trader": 1})
        return row["trader"] if row is not None else None

    async def find_many(self, user_ids: Sequence[str]) -> dict[str, SellerDetails]:
        rows = await self._details.find({"_id": {"$in": list(user_ids)}}).to_list(len(user_ids) or 1)
        known = {row["_id"]: self._view(row).details for row in rows}
        return {user_id: details for user_id, details in known.items() if details is not None}

    def _view(self, row: Document | None) -> SellerDetailsView:
        """What no key opens any more has to be given anew."""
        plain = self._sealer.unseal(row["sealed"]) if row is not None else None
        if row is None or plain is None:
            return NOBODY
        return SellerDetailsView(_details.validate_json(plain), row["trader"] is not None, row["updated_at"])

    # What they sold

    async def build(self, year: int, quarter: int, *, now: datetime) -> int:
        """Add up a quarter anew, in the database; answers how many sellers there are."""
        begins, ends = quarter_of(year, quarter)
        period = period_of(year, quarter)
        found = 0
        async for row in self._journals.aggregate(_sums(begins, ends), allowDiskUse=True):
            paid = await self._paid_out(row["_id"], begins, ends)
            total = {"_id": f"{period}:{row['_id']}", "period": period, "seller_id": row.pop("_id"), **row}
            await self._totals.update_one(
                {"_id": total.pop("_id")}, {"$set": {**total, "paid_out": paid, "created_at": now}}, upsert=True
            )
            found += 1
        await self._totals.delete_many({"period": period, "created_at": {"$lt": now}})  # what is no total any more
        return found

    async def _paid_out(self, seller_id: str, begins: datetime, ends: datetime) -> list[Document]:
        sent = {
            "user_id": seller_id,
            "state": PayoutProgress.SENT.value,
            "transferred_at": {"$gte": begins, "$lt": ends},
        }
        sums = {"_id": "$currency", "amount": {"$sum": "$money"}, "payouts": {"$sum": 1}}
        stages: list[Document] = [{"$match": sent}, {"$group": sums}, {"$sort": {"_id": 1}}]
        rows = await self._payouts.aggregate(stages).to_list(None)
        return [{"currency": row["_id"], "amount": row["amount"], "payouts": row["payouts"]} for row in rows]

    async def list_totals(self, year: int, quarter: int, *, cursor: Cursor | None, limit: int) -> Page[Document]:
        wanted: Document = {"period": period_of(year, quarter), **(cursor.after() if cursor else {})}
        rows = self._totals.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, lambda row: row)


def period_of(year: int, quarter: int) -> str:
    return f"{year}-Q{quarter}"


def _sums(begins: datetime, ends: datetime) -> list[Document]:
    """By seller: what buyers paid and got back, what of it the seller got and gave, and the rest, which are fees.

    A run that earned its seller a share is a sale of that share.
    """

    def legs_with(field: str, value: str) -> Document:
        mine = {"$filter": {"input": "$legs", "cond": {"$eq": [f"$$this.{field}", value]}}}
        return {"$sum": {"$map": {"input": mine, "in": "$$this.amount"}}}

    def when(kinds: list[str], value: Any) -> Document:  # Any: an expression
        return {"$sum": {"$cond": [{"$in": ["$kind", kinds]}, value, 0]}}

    got = legs_with("user_id", "$refs.seller_id")
    shared: Document = {"$multiply": [-1, {"$add": [got, legs_with("account", Platform.FEES.value)]}]}
    wanted: Document = {"kind": {"$in": [*_SOLD, *_BACK]}, "created_at": {"$gte": begins, "$lt": ends}}
    return [
        {"$match": {**wanted, "refs.seller_id": {"$exists": True}}},
        {"$lookup": {"from": LEGS, "localField": "_id", "foreignField": "journal_id", "as": "legs"}},
        {
            "$project": {
                "kind": 1,
                "seller": "$refs.seller_id",
                "paid": {"$cond": [{"$in": ["$kind", _RUNS]}, shared, legs_with("user_id", "$refs.buyer_id")]},
                "got": got,
            }
        },
        {
            "$group": {
                "_id": "$seller",
                "sales": when(_SOLD, 1),
                "gross": when(_SOLD, {"$multiply": ["$paid", -1]}),
                "net": when(_SOLD, "$got"),
                "refunds": when(_BACK, 1),
                "refunded_gross": when(_BACK, "$paid"),
                "refunded_net": when(_BACK, {"$multiply": ["$got", -1]}),
            }
        },
        {"$sort": {"_id": 1}},
    ]
