"""Every query on `seller_details`, `seller_totals` and `seller_reports`, and the sums of the ledger that those keep.

Details are sealed with a key from SECRET_KEY; only what traders have to show to everybody is kept as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import orjson
from pydantic import TypeAdapter

from promptforge.actors.billing.errors import ReportRebuilt
from promptforge.actors.billing.ledger.domain import JournalKind, Platform
from promptforge.actors.billing.ledger.store import JOURNALS, LEGS
from promptforge.actors.billing.payouts.messages import PayoutProgress
from promptforge.actors.billing.payouts.store import PAYOUTS
from promptforge.actors.billing.sellers.messages import SellerDetails, SellerDetailsView, SellerKind
from promptforge.core.ids import new_id
from promptforge.core.jobs import Sealer
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject, kept, nobody

DETAILS = "seller_details"
TOTALS = "seller_totals"
REPORTS = "seller_reports"
"""One document for each quarter: which sums are its report."""
BATCH = 500
INDEXES: dict[str, tuple[Index, ...]] = {
    DETAILS: (),
    TOTALS: (
        Index((("period", 1), ("created_at", -1), ("_id", -1))),
        Index((("build", 1), ("_id", -1))),
        Index((("seller_id", 1),)),
    ),
    REPORTS: (),
}
TAX = kept("reporting sellers to the tax office (DAC7, 1099-K)", years=10)
HELD = {
    DETAILS: Held(
        "Who you are to those you sell to and to the tax office",
        (Subject("_id", {"sealed": TAX, "trader": TAX}),),
        secret=frozenset({"sealed"}),
    ),
    TOTALS: Held("What you sold in each quarter", (Subject("seller_id"),), plain=frozenset({"*"})),
    REPORTS: nobody("Which quarters are added up"),
}
_SOLD = [JournalKind.PURCHASE.value, JournalKind.RUN_CLOSE.value]
_BACK = [JournalKind.PURCHASE_REFUND.value, JournalKind.RUN_REFUND.value]
_MADE_GOOD = [JournalKind.COMPENSATION.value, JournalKind.COMPENSATION_RETURN.value]
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
        self._reports = mongo.collection(REPORTS)
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

    async def has(self, user_id: str, *, session: Session | None) -> bool:
        """Whether they have said anything of themselves."""
        return await self._details.find_one({"_id": user_id}, {"_id": 1}, session=session) is not None

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
        plain = self._sealer.unseal(row["sealed"]) if row is not None and row["sealed"] is not None else None
        if row is None or plain is None:
            return NOBODY
        return SellerDetailsView(_details_from(plain), row["trader"] is not None, row["updated_at"])

    # What they sold

    async def build(self, year: int, quarter: int, *, now: datetime) -> int:
        """Add up a quarter anew, in the database; answers how many sellers there are.

        The sums of each time stand by themselves, and are the report once they are complete: whoever reads meanwhile
        reads those of the time before, and so goes on who has begun to. Older ones are removed.
        """
        begins, ends = quarter_of(year, quarter)
        period, build, found = period_of(year, quarter), new_id("rpt"), 0
        batch: list[Document] = []
        async for row in self._journals.aggregate(_sums(begins, ends), allowDiskUse=True):
            seller_id = row.pop("_id")
            paid = await self._paid_out(seller_id, begins, ends)
            kept = {"period": period, "build": build, "seller_id": seller_id, **row, "paid_out": paid}
            batch.append({"_id": f"{period}:{build}:{seller_id}", **kept, "created_at": now})
            found += 1
            if len(batch) >= BATCH:
                await self._totals.insert_many(batch)
                batch = []
        if batch:
            await self._totals.insert_many(batch)
        before = await self._reports.find_one({"_id": period})
        kept_builds = [build, before["build"]] if before is not None else [build]
        made: Document = {"build": build, "before": kept_builds[1:], "sellers": found, "made_at": now}
        await self._reports.update_one({"_id": period}, {"$set": made}, upsert=True)
        old = {"period": period, "build": {"$nin": kept_builds}, "created_at": {"$lt": now}}
        await self._totals.delete_many(old)
        return found

    async def _paid_out(self, seller_id: str, begins: datetime, ends: datetime) -> list[Document]:
        sent = {
            "user_id": seller_id,
            "state": PayoutProgress.SENT.value,
            "transferred_at": {"$gte": begins, "$lt": ends},
        }
        left: Document = {"$subtract": ["$money", {"$ifNull": ["$reversed_money", 0]}]}
        sums = {"_id": "$currency", "amount": {"$sum": left}, "payouts": {"$sum": 1}}
        stages: list[Document] = [{"$match": sent}, {"$group": sums}, {"$sort": {"_id": 1}}]
        rows = await self._payouts.aggregate(stages).to_list(None)
        return [{"currency": row["_id"], "amount": row["amount"], "payouts": row["payouts"]} for row in rows]

    async def list_totals(self, year: int, quarter: int, *, cursor: Cursor | None, limit: int) -> Page[Document]:
        """Of one time of adding up, from the first page to the last. Raises `ReportRebuilt` where that is gone."""
        period = period_of(year, quarter)
        report = await self._reports.find_one({"_id": period})
        if report is None:
            return Page(())
        build: str = report["build"]
        wanted: Document = {}
        if cursor is not None:
            build = cursor.id.split(":")[1]
            if build not in {report["build"], *report["before"]}:
                raise ReportRebuilt
            wanted = {"_id": {"$lt": cursor.id}}
        rows = self._totals.find({"build": build, **wanted}).sort([("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, lambda row: row)


def _details_from(plain: bytes) -> SellerDetails:
    """Not judged: what is there was taken by the rules of its day."""
    row = orjson.loads(plain)
    born = row.get("birth_date")
    return SellerDetails(
        **{**row, "kind": SellerKind(row["kind"]), "birth_date": None if born is None else date.fromisoformat(born)}
    )


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
    wanted: Document = {"kind": {"$in": [*_SOLD, *_BACK, *_MADE_GOOD]}, "created_at": {"$gte": begins, "$lt": ends}}
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
                "compensated": when(_MADE_GOOD, "$got"),
            }
        },
        {"$sort": {"_id": 1}},
    ]
