"""Sales of before say how much of their commissions was released: without it that would never be withheld."""

from __future__ import annotations

from promptforge.actors.billing.ledger.sales.domain import SaleState
from promptforge.actors.billing.ledger.sales.store import SALES
from promptforge.core.mongo import Document, Mongo, patiently


async def tell_what_is_released(mongo: Mongo) -> None:
    """What was promised, and is neither pending nor forgone; nothing of what was refunded."""
    untold: Document = {"released": {"$exists": False}, "promised": {"$gt": 0}}
    untold["state"] = {"$ne": SaleState.REVERSED.value}
    kept: Document = {"$add": [{"$ifNull": ["$forgone", 0]}, {"$ifNull": ["$commission", 0]}]}
    released: Document = {"$subtract": ["$promised", kept]}
    with patiently():
        await mongo.collection(SALES).update_many(untold, [{"$set": {"released": {"$max": [0, released]}}}])
