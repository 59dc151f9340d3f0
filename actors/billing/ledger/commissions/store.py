"""Every query on `ledger_freezes`, and on what `ledger_partners` and `ledger_sales` say of commissions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.billing.ledger.commissions.domain import Freeze, FreezeState, PartnerBalance
from promptforge.actors.billing.ledger.commissions.messages import CommissionDay, UndecidedFreeze
from promptforge.actors.billing.ledger.sales.domain import SETTLING, Sale, SaleState
from promptforge.actors.billing.ledger.sales.store import PENDING, RELEASED, SALES, sale_from
from promptforge.actors.billing.ledger.store import PARTNERS
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Erased, Held, Subject, kept

FREEZES = "ledger_freezes"
_UNDECIDED: Document = {"state": FreezeState.FROZEN.value}
INDEXES: dict[str, tuple[Index, ...]] = {
    FREEZES: (
        Index((("partner_id", 1), ("term", -1))),
        Index((("frozen_at", -1), ("_id", -1)), partial=_UNDECIDED),
        Index((("decided_by", 1),), partial={"decided_by": {"$gt": ""}}),
    ),
}
_RECORD = "the reason is the record of what became of somebody's earnings"
DECISION = kept(_RECORD, years=10, since="frozen_at", then=Erased.REDACTED)
_WHOSE = (("partner_id", "partners"), ("decided_by", None))
HELD = {
    FREEZES: Held(
        "Earnings of yours that were frozen, and decisions of yours about others'",
        tuple(Subject(path, {"reason": DECISION}, of=of) for path, of in _WHOSE),
        plain=frozenset({"_id", "partner_id", "state", "reason_code"}),
    ),
}
MOST_FREEZES = 100
_SETTLING: Document = {"$in": sorted(state.value for state in SETTLING)}
_REVERSED: Document = {"$eq": ["$state", SaleState.REVERSED.value]}


class CommissionStore:
    def __init__(self, mongo: Mongo) -> None:
        self._partners = mongo.collection(PARTNERS)
        self._freezes = mongo.collection(FREEZES)
        self._sales = mongo.collection(SALES)

    async def balance_of(self, partner_id: str, *, session: Session | None = None) -> PartnerBalance:
        row = await self._partners.find_one({"_id": partner_id}, session=session) or {}
        return PartnerBalance(partner_id, row.get("earned", 0), row.get("term", 0), row.get("closed", False))

    async def begin_term(self, partner_id: str, term: int, *, session: Session) -> None:
        """Two suspensions of one partner at once conflict."""
        begun = {"$set": {"term": term}, "$inc": {"earned": 0}}
        await self._partners.update_one({"_id": partner_id}, begun, upsert=True, session=session)

    async def close(self, partner_id: str, *, session: Session) -> None:
        closed = {"$set": {"closed": True}, "$inc": {"earned": 0}}
        await self._partners.update_one({"_id": partner_id}, closed, upsert=True, session=session)

    async def find_freeze(self, partner_id: str, term: int, *, session: Session | None = None) -> Freeze | None:
        row = await self._freezes.find_one({"partner_id": partner_id, "term": term}, session=session)
        return None if row is None else _freeze_from(row)

    async def put_freeze(self, freeze: Freeze, *, session: Session) -> None:
        row = {
            "partner_id": freeze.partner_id,
            "term": freeze.term,
            "frozen_at": freeze.frozen_at,
            "state": freeze.state.value,
            "reason": freeze.reason,
            "reason_code": freeze.reason_code,
            "decided_by": freeze.decided_by,
            "decided_at": freeze.decided_at,
        }
        await self._freezes.update_one({"_id": freeze.id}, {"$set": row}, upsert=True, session=session)

    async def list_freezes(self, partner_id: str) -> list[Freeze]:
        """The newest first."""
        rows = self._freezes.find({"partner_id": partner_id}).sort([("term", -1)]).limit(MOST_FREEZES)
        return [_freeze_from(row) for row in await rows.to_list(MOST_FREEZES)]

    async def list_undecided_terms(self, partner_id: str, *, session: Session | None = None) -> list[int]:
        """The newest first."""
        wanted = {"partner_id": partner_id, **_UNDECIDED}
        rows = self._freezes.find(wanted, {"term": 1}, session=session).sort([("term", -1)]).limit(MOST_FREEZES)
        return [row["term"] for row in await rows.to_list(MOST_FREEZES)]

    async def list_pending(self, partner_id: str, term: int, after: str, *, limit: int) -> list[Sale]:
        """Sales of a term whose commission is neither the partner's yet nor the platform's again, by their ids."""
        wanted = {"partner_id": partner_id, "term": term, "_id": {"$gt": after}, **PENDING}
        return await self._some(wanted, limit)

    async def list_settled(self, partner_id: str, undecided: Sequence[int], after: str, *, limit: int) -> list[Sale]:
        """Such sales of every other term whose seller was paid, by their ids."""
        wanted = {"state": _SETTLING, "partner_id": partner_id, "_id": {"$gt": after}, **PENDING}
        return await self._some({**wanted, "term": {"$nin": list(undecided)}}, limit)

    async def list_released(
        self, referrer_id: str, group: Sequence[str], *, after: str = "", limit: int, session: Session | None = None
    ) -> list[Sale]:
        """Of what somebody referred, sales to or of one of `group` of whose commission something is the partner's."""
        found: dict[str, Sale] = {}
        for party in ("buyer_id", "seller_id"):  # both at once would be looked for among all that they referred
            wanted: Document = {"referrer_id": referrer_id, party: {"$in": list(group)}, "_id": {"$gt": after}}
            rows = self._sales.find({**wanted, **RELEASED}, session=session).sort([("_id", 1)]).limit(limit)
            found |= {row["_id"]: sale_from(row) for row in await rows.to_list(limit)}
        return [found[sale_id] for sale_id in sorted(found)][:limit]

    async def list_left(self, partner_id: str, *, limit: int) -> list[Sale]:
        """Some of those of every term."""
        rows = self._sales.find({"partner_id": partner_id, **PENDING}).limit(limit)
        return [sale_from(row) for row in await rows.to_list(limit)]

    async def _some(self, wanted: Document, limit: int) -> list[Sale]:
        rows = self._sales.find(wanted).sort([("_id", 1)]).limit(limit)
        return [sale_from(row) for row in await rows.to_list(limit)]

    async def next_partner(self, after: str) -> str | None:
        """The first one behind `after` with a commission that is pending and whose seller was paid."""
        wanted = {"state": _SETTLING, "partner_id": {"$gt": after}, **PENDING}
        row = await self._sales.find_one(wanted, {"partner_id": 1}, sort=[("partner_id", 1)])
        return None if row is None else row["partner_id"]

    async def list_undecided(self, *, cursor: Cursor | None, limit: int) -> Page[UndecidedFreeze]:
        """Everybody's, the newest first."""
        wanted = dict(_UNDECIDED)
        if cursor is not None:
            earlier = {"frozen_at": {"$lt": cursor.created_at}}
            wanted["$or"] = [earlier, {"frozen_at": cursor.created_at, "_id": {"$lt": cursor.id}}]
        found = self._freezes.find(wanted).sort([("frozen_at", -1), ("_id", -1)]).limit(limit + 1)
        rows = [{**row, "created_at": row["frozen_at"]} for row in await found.to_list(limit + 1)]
        pending = await self._pending_of_terms([(row["partner_id"], row["term"]) for row in rows])

        def view(row: Document) -> UndecidedFreeze:
            term = row["partner_id"], row["term"]
            return UndecidedFreeze(*term, pending.get(term, 0), row["frozen_at"])

        return page_of(rows, limit, view)

    async def _pending_of_terms(self, terms: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        partner_ids, numbers = {one for one, _ in terms}, {term for _, term in terms}
        pipeline: list[Document] = [
            {"$match": {"partner_id": {"$in": sorted(partner_ids)}, "term": {"$in": sorted(numbers)}, **PENDING}},
            {"$group": {"_id": {"partner_id": "$partner_id", "term": "$term"}, "sum": {"$sum": "$commission"}}},
        ]
        rows = self._sales.aggregate(pipeline)
        return {(row["_id"]["partner_id"], row["_id"]["term"]): row["sum"] async for row in rows}

    async def pending_of(self, partner_id: str, *, session: Session | None = None) -> dict[int, int]:
        """Term → what is pending of it."""
        pipeline: list[Document] = [
            {"$match": {"partner_id": partner_id, **PENDING}},
            {"$group": {"_id": "$term", "sum": {"$sum": "$commission"}}},
        ]
        return {row["_id"]: row["sum"] async for row in self._sales.aggregate(pipeline, session=session)}

    async def uncollected_of(self, partner_ids: Sequence[str], *, session: Session | None) -> int:
        """What has settled and what is pending, frozen or not, of these partners; read from the indexes alone."""
        pipeline: list[Document] = [
            {"$match": {"partner_id": {"$in": list(partner_ids)}, **PENDING}},
            {"$group": {"_id": None, "pending": {"$sum": "$commission"}}},
        ]
        (found,) = await self._sales.aggregate(pipeline, session=session).to_list(1) or [{"pending": 0}]
        balances = [await self.balance_of(partner_id, session=session) for partner_id in partner_ids]
        return int(found["pending"]) + sum(balance.earned for balance in balances)

    async def sold_codes(self, referrer_id: str) -> list[str]:
        codes = self._sales.aggregate([{"$match": {"referrer_id": referrer_id}}, {"$group": {"_id": "$code"}}])
        return sorted([row["_id"] async for row in codes if row["_id"]])

    async def sum_by_day(self, partner_id: str, *, since: datetime, until: datetime) -> list[CommissionDay]:
        """What the sales of each day (UTC) and code brought, and what has become of it by now."""
        day = {"$dateTrunc": {"date": "$sold_at", "unit": "day"}}
        settled = {"$subtract": ["$promised", {"$add": ["$commission", "$forgone"]}]}
        pipeline: list[Document] = [
            {"$match": {"partner_id": partner_id, "sold_at": {"$gte": since, "$lt": until}}},
            {
                "$group": {
                    "_id": {"day": day, "code": "$code"},
                    "sales": {"$sum": 1},
                    "refunds": {"$sum": {"$cond": [_REVERSED, 1, 0]}},
                    "promised": {"$sum": "$promised"},
                    "pending": {"$sum": "$commission"},
                    "forgone": {"$sum": "$forgone"},
                    "reversed": {"$sum": {"$cond": [_REVERSED, settled, 0]}},
                    "earned": {"$sum": {"$cond": [_REVERSED, 0, settled]}},
                }
            },
            {"$sort": {"_id.day": 1, "_id.code": 1}},
        ]
        rows = self._sales.aggregate(pipeline)
        return [CommissionDay(row["_id"]["day"].date(), row["_id"]["code"], *_sums(row)) async for row in rows]


def _sums(row: Document) -> tuple[int, int, int, int, int, int, int]:
    names = ("sales", "refunds", "promised", "pending", "earned", "forgone", "reversed")
    sales, refunds, promised, pending, earned, forgone, reversed_ = (row[name] for name in names)
    return sales, refunds, promised, pending, earned, forgone, reversed_


def _freeze_from(row: Document) -> Freeze:
    return Freeze(
        partner_id=row["partner_id"],
        term=row["term"],
        frozen_at=row["frozen_at"],
        state=FreezeState(row["state"]),
        reason=row["reason"],
        reason_code=row.get("reason_code"),
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
    )
