"""Every query on the collection `ledger_sales`: what of each sale is still pending."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.billing.ledger.books import MOST_SALES
from promptforge.actors.billing.ledger.sales.domain import OPEN, Sale, SaleState
from promptforge.actors.billing.ledger.store import LEDGER
from promptforge.core.mongo import Document, Index, Mongo, Rows, Session
from promptforge.core.personal import Held, Subject, kept, marks

SALES = "ledger_sales"
PENDING: Document = {"commission": {"$gt": 0}}
"""Of a commission that is neither the partner's yet nor the platform's again."""
EARNED: Document = {"earned": {"$gt": 0}}
RELEASED: Document = {"released": {"$gt": 0}}
FORFEITED: Document = {"forfeited": {"$gt": 0}}
"""Of a commission that a decision put back into the fee, and an appeal may bring back."""
INDEXES: dict[str, tuple[Index, ...]] = {
    SALES: (
        Index((("state", 1), ("seller_id", 1), ("sold_at", 1), ("_id", 1))),
        Index((("paid_with", 1), ("state", 1), ("sold_at", -1))),
        Index(
            (("partner_id", 1), ("sold_at", 1), ("promised", 1), ("forgone", 1), ("commission", 1)),
            partial={"partner_id": {"$gt": ""}},
        ),
        Index((("partner_id", 1), ("term", 1), ("_id", 1), ("commission", 1)), partial=PENDING),
        Index((("state", 1), ("partner_id", 1), ("_id", 1), ("term", 1)), partial=PENDING),
        Index((("partner_id", 1), ("term", 1), ("_id", 1), ("forfeited", 1)), partial=FORFEITED),
        Index((("seller_id", 1), ("buyer_id", 1), ("_id", 1)), partial=EARNED),
        Index((("referrer_id", 1), ("buyer_id", 1), ("_id", 1)), partial=RELEASED),
        Index((("referrer_id", 1), ("seller_id", 1), ("_id", 1)), partial=RELEASED),
        Index((("referrer_id", 1), ("partner_id", 1)), partial={"referrer_id": {"$gt": ""}}),
    ),
}
_ANY = {"state": {"$in": sorted(state.value for state in SaleState)}}
"""All there are: by their states a seller's are found in the index that settling reads."""
HELD = {
    SALES: Held(
        "What is pending of your sales, and of commissions that you were promised as a partner",
        (
            Subject("seller_id", marks(kept(LEDGER), "payable", "granted", "withheld", "paid_with"), where=_ANY),
            Subject(
                "referrer_id",
                marks(kept(LEDGER), "promised", "commission", "forgone", "forfeited", "released", "code", "term"),
            ),
        ),
        plain=frozenset({"*"}),
    ),
}
_OPEN: Document = {"$in": sorted(state.value for state in OPEN)}


class SaleStore:
    def __init__(self, mongo: Mongo) -> None:
        self._sales = mongo.collection(SALES)

    async def find(self, sale_id: str, *, session: Session) -> Sale | None:
        row = await self._sales.find_one({"_id": sale_id}, session=session)
        return None if row is None else sale_from(row)

    async def put(self, sale: Sale, *, session: Session) -> None:
        row = {
            "seller_id": sale.seller_id,
            "sold_at": sale.sold_at,
            "payable": sale.payable,
            "granted": sale.granted,
            "commission": sale.commission,
            "partner_id": sale.partner_id,
            "state": sale.state.value,
            "paid_with": list(sale.paid_with),
            "buyer_id": sale.buyer_id,
            "withheld": sale.withheld,
            "forgone": sale.forgone,
            "promised": sale.promised,
            "referrer_id": sale.referrer_id,
            "code": sale.code,
            "term": sale.term,
            "earned": sale.earned,
            "released": sale.released,
            "forfeited": sale.forfeited,
        }
        await self._sales.update_one({"_id": sale.id}, {"$set": row}, upsert=True, session=session)

    async def open_of(self, seller_id: str, *, session: Session) -> list[Sale]:
        """With something payable pending, the oldest first."""
        wanted = {"state": _OPEN, "seller_id": seller_id, "payable": {"$gt": 0}}
        return await _sales(self._sales.find(wanted, session=session).sort([("sold_at", 1), ("_id", 1)]), MOST_SALES)

    async def open_paid_with(self, lot: str, *, session: Session) -> list[Sale]:
        wanted = {"paid_with": lot, "state": _OPEN}
        return await _sales(self._sales.find(wanted, session=session).sort([("sold_at", -1), ("_id", -1)]), MOST_SALES)

    async def has_settled_since_before(self, seller_id: str, moment: datetime, *, session: Session) -> bool:
        wanted = {"state": SaleState.SETTLED.value, "seller_id": seller_id, "sold_at": {"$lte": moment}, **EARNED}
        return await self._sales.find_one(wanted, {"_id": 1}, session=session) is not None

    async def has_sold(self, user_id: str, *, session: Session | None = None) -> bool:
        """Whether there is a sale of theirs, whatever became of it."""
        return await self._is_there({"seller_id": user_id, **_ANY}, session)

    async def has_brought(self, user_id: str, *, session: Session | None = None) -> bool:
        """Whether there is a sale of theirs, or one that they have referred as a partner, whatever became of it."""
        return await self.has_sold(user_id, session=session) or await self._is_there({"referrer_id": user_id}, session)

    async def _is_there(self, wanted: Document, session: Session | None) -> bool:
        return await self._sales.find_one(wanted, {"_id": 1}, session=session) is not None

    # For the settlement job, which looks before it begins a transaction

    async def next_seller(self, after: str, *, sold_until: datetime) -> str | None:
        """The first seller behind `after` with an open sale that was made until then."""
        found = []
        for state in OPEN:
            wanted = {"state": state.value, "seller_id": {"$gt": after}, "sold_at": {"$lte": sold_until}}
            row = await self._sales.find_one(wanted, {"seller_id": 1}, sort=[("seller_id", 1)])
            found += [row["seller_id"]] if row is not None else []
        return min(found, default=None)

    async def list_open(self, seller_id: str, *, sold_until: datetime, after: Sale | None, limit: int) -> list[Sale]:
        """A seller's open sales that were made until then, the oldest first."""
        wanted: Document = {"state": _OPEN, "seller_id": seller_id, "sold_at": {"$lte": sold_until}}
        if after is not None:
            later = [{"sold_at": {"$gt": after.sold_at}}, {"sold_at": after.sold_at, "_id": {"$gt": after.id}}]
            wanted = {"$and": [wanted, {"$or": later}]}
        return await _sales(self._sales.find(wanted).sort([("sold_at", 1), ("_id", 1)]), limit)

    async def list_earned_from(
        self, seller_id: str, buyers: Sequence[str], *, after: str = "", limit: int, session: Session | None = None
    ) -> list[Sale]:
        """Of a seller, what was sold to these and is earned, in the order of the ids behind `after`."""
        wanted: Document = {"seller_id": seller_id, "buyer_id": {"$in": list(buyers)}, "_id": {"$gt": after}, **EARNED}
        return await _sales(self._sales.find(wanted, session=session).sort([("_id", 1)]), limit)


async def _sales(rows: Rows, limit: int) -> list[Sale]:
    return [sale_from(row) for row in await rows.limit(limit).to_list(limit)]


def sale_from(row: Document) -> Sale:
    """A stored document as what it tells of."""
    return Sale(
        id=row["_id"],
        seller_id=row["seller_id"],
        sold_at=row["sold_at"],
        payable=row["payable"],
        granted=row["granted"],
        commission=row["commission"],
        partner_id=row["partner_id"],
        state=SaleState(row["state"]),
        paid_with=tuple(row["paid_with"]),
        buyer_id=row.get("buyer_id", ""),
        withheld=row.get("withheld", 0),
        forgone=row.get("forgone", 0),
        promised=row.get("promised", 0),
        referrer_id=row.get("referrer_id", ""),
        code=row.get("code", ""),
        term=row.get("term", 0),
        earned=row.get("earned", 0),
        released=row.get("released", 0),
        forfeited=row.get("forfeited", 0),
    )
