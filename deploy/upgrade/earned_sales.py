"""Sales of before say how much of them is earned: what settled into earned credits, less what was withheld since."""

from __future__ import annotations

from promptforge.actors.billing.ledger.domain import Fund, Owed
from promptforge.actors.billing.ledger.sales.domain import SETTLING, settlements_of
from promptforge.actors.billing.ledger.sales.store import SALES
from promptforge.actors.billing.ledger.store import LEGS
from promptforge.core.mongo import Document, Mongo

_BATCH = 500


async def tell_what_is_earned(mongo: Mongo) -> None:
    """By the legs of their settlements; without it they would never be withheld, and would establish no seller."""
    sales, legs = mongo.collection(SALES), mongo.collection(LEGS)
    untold: Document = {"earned": {"$exists": False}}
    while rows := await sales.find(untold, {"state": 1, "withheld": 1}).limit(_BATCH).to_list(_BATCH):
        for row in rows:
            earned = 0
            if row["state"] in SETTLING:
                settlements = {"journal_id": {"$in": list(settlements_of(row["_id"]))}}
                payable = {**settlements, "account": Owed.PENDING.value, "source": Fund.PURCHASED.value}
                moved = await legs.find(payable, {"amount": 1}).to_list(None)
                earned = -sum(leg["amount"] for leg in moved) - row.get("withheld", 0)
            unchanged = {"_id": row["_id"], "state": row["state"], **untold}
            await sales.update_one(unchanged, {"$set": {"earned": max(0, earned)}})
