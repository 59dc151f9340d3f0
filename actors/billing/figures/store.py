"""Reads legs in the order of their ids. Rows of the service before this one are no legs."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

from promptforge.actors.billing.figures.messages import JournalFigures, LegView, RunIncome, Trade
from promptforge.actors.billing.ledger.domain import Fund, JournalKind, Owed
from promptforge.actors.billing.ledger.runs import PREFIX
from promptforge.actors.billing.ledger.sealing import SETTLED
from promptforge.actors.billing.ledger.store import JOURNALS, LEGS
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.mongo import Document, Mongo

PLATFORM = "platform:"
_BEHIND_RUNS = PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)


def settled_until(now: datetime) -> datetime:
    """No transaction is open any more that could add a journal before this: see `ledger.sealing`."""
    return now - SETTLED


class FigureStore:
    def __init__(self, mongo: Mongo) -> None:
        self._legs = mongo.collection(LEGS)
        self._journals = mongo.collection(JOURNALS)

    async def scan_legs(self, after: str, limit: int) -> list[LegView]:
        """The journals' ids are strings, and so are those of their legs; what was here before has others."""
        rows = await self._legs.find({"_id": {"$gt": after}}).sort([("_id", 1)]).limit(limit).to_list(limit)
        journals = list({row["journal_id"] for row in rows if row.get("journal_id")})
        found = self._journals.find({"_id": {"$in": journals}}, {"kind": 1})
        kinds = {row["_id"]: row["kind"] for row in await found.to_list(len(journals) or 1)}
        return [_leg_from(row, kinds) for row in rows]

    async def scan_journals(self, after: str | None, limit: int, *, until: datetime | None) -> list[JournalFigures]:
        """In the order in which they were made, those of one moment by their ids."""
        wanted: Document = {} if until is None else {"created_at": {"$lte": until}}
        if after is not None:
            moment, identifier = _place_from(after)
            later: Document = {"created_at": {"$gt": moment}}
            same: Document = {"created_at": moment, "_id": {"$gt": identifier}}
            wanted = {"$and": [wanted, {"$or": [later, same]}]}
        rows = await self._journals.find(wanted).sort([("created_at", 1), ("_id", 1)]).limit(limit).to_list(limit)
        legs: dict[str, list[Document]] = defaultdict(list)
        async for leg in self._legs.find({"journal_id": {"$in": [row["_id"] for row in rows]}}):
            legs[leg["journal_id"]].append(leg)
        return [_figures_from(row, legs[row["_id"]]) for row in rows]

    async def run_income(self, seller_id: str, *, since: datetime, until: datetime) -> list[RunIncome]:
        """A pending leg above zero that begins a lot is income; by days and listings, the first day first.

        The lot is the journal that closed the run, which names the listing; what takes a share back names it in
        `reverses`. The journals are read as a whole and put beside their lots: looking each up took 0.3 ms a run.
        """
        taken = {"parties": seller_id, "created_at": {"$gte": since}, "kind": JournalKind.RUN_REFUND.value}
        reversed_runs = [row["reverses"] async for row in self._journals.find(taken, {"reverses": 1})]
        income: Document = {
            "user_id": seller_id,
            "account": Owed.PENDING.value,
            "created_at": {"$gte": since, "$lt": until},
            "amount": {"$gt": 0},
            "lot": {"$gte": PREFIX, "$lt": _BEHIND_RUNS},
        }
        back = {"$in": ["$_id", reversed_runs]}
        stages: list[Document] = [
            {"$match": income},
            {"$group": {"_id": "$lot", "net": {"$sum": "$amount"}, "at": {"$min": "$created_at"}}},
            {"$unionWith": {"coll": JOURNALS, "pipeline": _closed_runs(seller_id, income["created_at"])}},
            {
                "$group": {
                    "_id": "$_id",
                    "net": {"$max": "$net"},
                    "at": {"$max": "$at"},
                    "listing": {"$max": "$listing"},
                }
            },
            {"$match": {"net": {"$ne": None}}},
            {
                "$group": {
                    "_id": {
                        "day": {"$dateTrunc": {"date": "$at", "unit": "day"}},
                        "listing": "$listing",
                    },
                    "runs": {"$sum": 1},
                    "net": {"$sum": "$net"},
                    "refunds": {"$sum": {"$cond": [back, 1, 0]}},
                    "refunded_net": {"$sum": {"$cond": [back, "$net", 0]}},
                }
            },
            {"$sort": {"_id": 1}},
        ]
        rows = self._legs.aggregate(stages, allowDiskUse=True)
        return [_income_from(row.pop("_id"), row) async for row in rows]

    async def count_legs(self) -> int:
        return await self._legs.count_documents({"_id": {"$gt": ""}})

    async def count_entries(self, user_id: str) -> int:
        return await self._journals.count_documents({"parties": user_id})


def _closed_runs(seller_id: str, between: Document) -> list[Document]:
    """Which listing each was of, where that was told."""
    closed = {"parties": seller_id, "created_at": between, "kind": JournalKind.RUN_CLOSE.value}
    return [{"$match": closed}, {"$project": {"listing": "$refs.listing_id"}}]


def _income_from(key: Document, sums: Document) -> RunIncome:
    return RunIncome(key["day"].date(), key["listing"], **sums)


def place_of(journal_id: str, created_at: datetime) -> str:
    return f"{created_at.astimezone(UTC).isoformat()}|{journal_id}"


def _place_from(place: str) -> tuple[datetime, str]:
    moment, _, identifier = place.partition("|")
    return datetime.fromisoformat(moment), identifier


_BOUGHT = {JournalKind.PURCHASE.value: Trade.PURCHASE, JournalKind.RUN_CLOSE.value: Trade.RUN}
_GIVEN_BACK = frozenset({JournalKind.PURCHASE_REFUND.value, JournalKind.RUN_REFUND.value})
_PURSES = frozenset({*(fund.value for fund in Fund), Owed.DEBT.value})


def _figures_from(row: Document, legs: list[Document]) -> JournalFigures:
    """Of a run that was sold only the seller's share is trade: what the model cost is the platform's income."""
    kind, refs = row["kind"], row["refs"]
    accounts: dict[str, int] = defaultdict(int)
    for leg in legs:
        if leg["account"].startswith(PLATFORM):
            accounts[leg["account"]] += leg["amount"]
    trade = Trade.REFUND if kind in _GIVEN_BACK else _BOUGHT.get(kind)
    if trade is Trade.RUN and "share" not in refs:
        trade = None
    buyer_id = refs.get("buyer_id") or (row["parties"][0] if row["parties"] else None)
    paid = 0
    if trade is Trade.RUN:
        paid = to_millicredits(refs["share"])
    elif trade is not None:
        paid = abs(sum(leg["amount"] for leg in legs if leg["user_id"] == buyer_id and leg["account"] in _PURSES))
    return JournalFigures(
        place=place_of(row["_id"], row["created_at"]),
        kind=kind,
        created_at=row["created_at"],
        trade=trade,
        buyer_id=buyer_id if trade is not None else None,
        paid=paid,
        accounts=dict(accounts),
    )


def _leg_from(row: Document, kinds: dict[str, str]) -> LegView:
    journal_id = row.get("journal_id") or ""
    return LegView(
        id=row["_id"],
        journal_id=journal_id,
        kind=kinds.get(journal_id, ""),
        account=row.get("account") or "",
        user_id=row.get("user_id"),
        amount=from_millicredits(row["amount"]) if isinstance(row.get("amount"), int) else "0",
        lot=row.get("lot"),
        source=row.get("source"),
        created_at=row["created_at"],
    )
