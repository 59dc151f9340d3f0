"""Every query on `ledger_freezes`, and on what `ledger_partners` and `ledger_sales` say of commissions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.billing.ledger.commissions.domain import Freeze, FreezeState, PartnerBalance
from promptforge.actors.billing.ledger.commissions.messages import CommissionDay, UndecidedFreeze
from promptforge.actors.billing.ledger.sales.domain import SETTLING, Sale, SaleState
from promptforge.actors.billing.ledger.sales.store import FORFEITED, PENDING, RELEASED, SALES, sale_from
from promptforge.actors.billing.ledger.store import PARTNERS
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, Erased, Held, Personal, Subject, kept

FREEZES = "ledger_freezes"
_UNDECIDED: Document = {"state": FreezeState.FROZEN.value}
_APPEALED: Document = {"appeal_waits": True}
INDEXES: dict[str, tuple[Index, ...]] = {
    FREEZES: (
        Index((("partner_id", 1), ("term", -1))),
        Index((("frozen_at", -1), ("_id", -1)), partial=_UNDECIDED),
        Index((("appealed_at", -1), ("_id", -1)), partial=_APPEALED),
        Index((("decided_by", 1),), partial={"decided_by": {"$gt": ""}}),
        Index((("answered_by", 1),), partial={"answered_by": {"$gt": ""}}),
    ),
}
_RECORD = "the reason is the record of what became of somebody's earnings"
DECISION = kept(_RECORD, years=10, since="frozen_at", then=Erased.REDACTED)
_PARTNERS: dict[str, Personal] = {"reason": DECISION, "answer": DECISION, "appeal": CLEARED}
HELD = {
    FREEZES: Held(
        "Earnings of yours that were frozen, and decisions of yours about others'",
        (
            Subject("partner_id", _PARTNERS, of="partners"),
            Subject("decided_by", {"reason": DECISION}),
            Subject("answered_by", {"answer": DECISION}),
        ),
        plain=frozenset({"_id", "partner_id", "state", "reason_code", "answer_code"}),
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
            "appeal_until": freeze.appeal_until,
            "appeal": freeze.appeal,
            "appealed_at": freeze.appealed_at,
            "appeal_waits": freeze.appeal_waits,
            "answer": freeze.answer,
            "answer_code": freeze.answer_code,
            "answered_by": freeze.answered_by,
            "answered_at": freeze.answered_at,
            "moves": freeze.moves,
        }
        await self._freezes.update_one({"_id": freeze.id}, {"$set": row}, upsert=True, session=session)

    async def drop_appeals(self, partner_id: str) -> None:
        """Those that wait: there is nobody any more who has asked."""
        dropped = {"$set": {"appeal": None, "appealed_at": None, "appeal_until": None, "appeal_waits": False}}
        await self._freezes.update_many({"partner_id": partner_id, **_APPEALED}, dropped)

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

    async def list_forfeited(self, partner_id: str, term: int, after: str, *, limit: int) -> list[Sale]:
        """A term's sales of whose commission something was forfeited, and is not brought back, by their ids."""
        wanted = {"partner_id": partner_id, "term": term, "_id": {"$gt": after}, **FORFEITED}
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

    async def list_undecided(
        self, *, appealed: bool = False, cursor: Cursor | None, limit: int
    ) -> Page[UndecidedFreeze]:
        """Everybody's, the newest first; or those whose appeal waits, the last one first."""
        wanted, since = (dict(_APPEALED), "appealed_at") if appealed else (dict(_UNDECIDED), "frozen_at")
        if cursor is not None:
            earlier = {since: {"$lt": cursor.created_at}}
            wanted["$or"] = [earlier, {since: cursor.created_at, "_id": {"$lt": cursor.id}}]
        found = self._freezes.find(wanted).sort([(since, -1), ("_id", -1)]).limit(limit + 1)
        rows = [{**row, "created_at": row[since]} for row in await found.to_list(limit + 1)]
        terms = [(row["partner_id"], row["term"]) for row in rows]
        pending = await self._sum_of_terms(terms, "commission", PENDING)
        forfeited = await self._sum_of_terms(terms, "forfeited", FORFEITED) if appealed else {}

        def view(row: Document) -> UndecidedFreeze:
            term = row["partner_id"], row["term"]
            amounts = pending.get(term, 0), forfeited.get(term, 0)
            return UndecidedFreeze(*term, amounts[0], row["frozen_at"], amounts[1], row.get("appealed_at"))

        return page_of(rows, limit, view)

    async def _sum_of_terms(
        self, terms: Sequence[tuple[str, int]], name: str, there: Document
    ) -> dict[tuple[str, int], int]:
        partner_ids, numbers = {one for one, _ in terms}, {term for _, term in terms}
        pipeline: list[Document] = [
            {"$match": {"partner_id": {"$in": sorted(partner_ids)}, "term": {"$in": sorted(numbers)}, **there}},
            {"$group": {"_id": {"partner_id": "$partner_id", "term": "$term"}, "sum": {"$sum": f"${name}"}}},
        ]
        rows = self._sales.aggregate(pipeline)
        return {(row["_id"]["partner_id"], row["_id"]["term"]): row["sum"] async for row in rows}

    async def pending_of(self, partner_id: str, *, session: Session | None = None) -> dict[int, int]:
        """Term → what is pending of it."""
        return await self._by_term(partner_id, "commission", PENDING, session)

    async def forfeited_of(self, partner_id: str, *, session: Session | None = None) -> dict[int, int]:
        """Term → what was forfeited of it, and an appeal may bring back."""
        return await self._by_term(partner_id, "forfeited", FORFEITED, session)

    async def _by_term(self, partner_id: str, name: str, there: Document, session: Session | None) -> dict[int, int]:
        pipeline: list[Document] = [
            {"$match": {"partner_id": partner_id, **there}},
            {"$group": {"_id": "$term", "sum": {"$sum": f"${name}"}}},
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
        appeal_until=row.get("appeal_until"),  # those that were decided before there were appeals have none of these
        appeal=row.get("appeal"),
        appealed_at=row.get("appealed_at"),
        answer=row.get("answer"),
        answer_code=row.get("answer_code"),
        answered_by=row.get("answered_by"),
        answered_at=row.get("answered_at"),
        moves=row.get("moves", 0),
    )
