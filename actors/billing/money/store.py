"""Every query on `money_journals`, `money_sweeps` and `money_comparisons`.

A journal is one document with its legs, and its `_id` is the balance transaction's: it is inserted once, whoever brings
it how often, and never changed. Money and play money (`livemode`) are two ledgers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.billing.errors import MoneyMismatch
from promptforge.actors.billing.money.domain import TRANSFER, Checked, Comparison, Movement, Sweep
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, Rows, Session, UpdateOne
from promptforge.core.personal import nobody

JOURNALS = "money_journals"
SWEEPS = "money_sweeps"
COMPARISONS = "money_comparisons"

INDEXES: dict[str, tuple[Index, ...]] = {
    JOURNALS: (
        Index((("livemode", 1), ("currency", 1), ("net", 1))),
        Index((("source", 1),), partial={"kind": TRANSFER}),
    ),
    SWEEPS: (),
    COMPARISONS: (Index((("livemode", 1), ("at", -1))),),
}
HELD = {
    JOURNALS: nobody("The movements of Stripe's balance"),
    SWEEPS: nobody("Until when they are posted"),
    COMPARISONS: nobody("Comparisons with Stripe's balance"),
}
_FACTS = ("livemode", "currency", "amount", "fee", "net", "kind")


class MoneyStore:
    def __init__(self, mongo: Mongo) -> None:
        self._journals = mongo.collection(JOURNALS)
        self._sweeps = mongo.collection(SWEEPS)
        self._comparisons = mongo.collection(COMPARISONS)

    async def post(self, movements: Sequence[Movement], *, livemode: bool, now: datetime) -> int:
        """Post those that are not posted yet; answers how many. Raises `MoneyMismatch`."""
        if not movements:
            return 0
        rows = {one.id: _row(one, livemode=livemode, now=now) for one in movements}
        written = await self._journals.bulk_write(
            [UpdateOne({"_id": key}, {"$setOnInsert": row}, upsert=True) for key, row in rows.items()], ordered=False
        )
        there = self._journals.find({"_id": {"$in": list(rows)}}, dict.fromkeys(_FACTS, 1))
        for row in await there.to_list(len(rows)):
            if any(row[name] != rows[row["_id"]][name] for name in _FACTS):
                raise MoneyMismatch(f"{row['_id']} was posted before, and differently")
        return written.upserted_count

    async def sums(self, *, livemode: bool) -> dict[str, int]:
        """What all movements make of Stripe's balance, by currency; read from the index alone."""
        pipeline: list[Document] = [
            {"$match": {"livemode": livemode}},
            {"$group": {"_id": "$currency", "net": {"$sum": "$net"}}},
        ]
        return {row["_id"]: row["net"] async for row in self._journals.aggregate(pipeline)}

    def journals(self) -> Rows:
        """All of them, for verification."""
        return self._journals.find({}, {"legs": 1, "net": 1}).sort([("_id", 1)]).batch_size(1000)

    def transfers(self) -> Rows:
        """Those to connected accounts, by what they are called at Stripe, for verification."""
        fields = {"source": 1, "amount": 1, "currency": 1, "created": 1}
        return self._journals.find({"kind": TRANSFER, "source": {"$gt": ""}}, fields).sort([("source", 1)])

    async def list_moved_by(self, transfer_id: str, *, session: Session) -> list[Document]:
        wanted = {"kind": TRANSFER, "source": transfer_id}
        return await self._journals.find(wanted, session=session).to_list(100)

    async def posted_through(self) -> int | None:
        """Until when (in seconds, by Stripe's clock) all is posted; None where nothing ever was."""
        rows = await self._sweeps.find({}, {"through": 1}).to_list(2)
        return max((row["through"] for row in rows), default=None)

    # How far the list has been walked

    async def find_sweep(self, *, livemode: bool) -> tuple[int, Sweep | None]:
        """Until when everything is posted, and the walk that was interrupted, if one was."""
        row = await self._sweeps.find_one({"_id": _mode(livemode)})
        if row is None:
            return 0, None
        return row["through"], Sweep(**row["sweep"]) if row["sweep"] else None

    async def put_sweep(self, through: int, sweep: Sweep | None, *, livemode: bool) -> None:
        """`through` only grows, whoever of two was faster."""
        walk = {"since": sweep.since, "newest": sweep.newest, "after": sweep.after} if sweep else None
        changes: Document = {"$max": {"through": through}, "$set": {"sweep": walk}}
        await self._sweeps.update_one({"_id": _mode(livemode)}, changes, upsert=True)

    # Comparisons with Stripe

    async def insert_comparison(self, currencies: Sequence[Comparison], *, livemode: bool, now: datetime) -> None:
        told = [{"currency": one.currency, "stripe": one.stripe, "ledger": one.ledger} for one in currencies]
        await self._comparisons.insert_one({"_id": new_id("mcp"), "livemode": livemode, "at": now, "currencies": told})

    async def find_last_comparison(self, *, livemode: bool) -> Checked | None:
        row = await self._comparisons.find_one({"livemode": livemode}, sort=[("at", -1)])
        if row is None:
            return None
        return Checked(row["at"], tuple(Comparison(**one) for one in row["currencies"]))


def _mode(livemode: bool) -> str:  # noqa: FBT001  # it is what the id says
    return "live" if livemode else "test"


def _row(movement: Movement, *, livemode: bool, now: datetime) -> Document:
    return {
        "livemode": livemode,
        "currency": movement.currency,
        "amount": movement.amount,
        "fee": movement.fee,
        "net": movement.net,
        "kind": movement.kind,
        "source": movement.source,
        "created": movement.created,
        "legs": [{"account": account, "amount": amount} for account, amount in movement.legs()],
        "posted_at": now,
    }
