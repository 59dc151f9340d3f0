"""Purchases of runs that were used by runs which answered nothing, before a use was given back, are unused again.

What a run's end gives back today was not kept then; but each run that ended is in `usage`, with how it did, and each
that has not is in `model_runs`. So where none has answered since the purchase was used, its use goes back, as today;
and what is still open is counted from here on, so that its end gives back the rest.
"""

from __future__ import annotations

from datetime import UTC, datetime

from promptforge.actors.ai.messages import RunOutcome
from promptforge.actors.ai.models.store import RUNS, USAGE
from promptforge.actors.marketplace.messages import Licence
from promptforge.actors.marketplace.purchases.domain import AUTOMATIC_FOR, automatic_until
from promptforge.actors.marketplace.purchases.store import PURCHASES
from promptforge.core.mongo import Document, Mongo, Session, patiently, run_transaction

_BY_PURCHASE = "sealed"
"""The purpose of runs that a purchase pays for; trials and the seller's own have others."""
_UNCOUNTED: Document = {"used_at": {"$ne": None}, "runs_counted": {"$exists": False}, "refunded_at": None}


async def give_back_uses(mongo: Mongo) -> None:
    """Of purchases that are not too old to be refunded for the asking: of the others it would change nothing."""
    now = datetime.now(UTC)
    wanted = {
        "licence": Licence.RUNS.value,
        "created_at": {"$gt": now - max(AUTOMATIC_FOR.values())},
        **_UNCOUNTED,
    }
    with patiently():
        found = await mongo.collection(PURCHASES).find(wanted).to_list(None)  # of two weeks
    for row in found:
        until = automatic_until(row["refund_policy"], row["created_at"], used=False)
        if until is not None and until > now:
            await _give_back(mongo, row)


async def _give_back(mongo: Mongo, row: Document) -> None:
    purchases, usage, runs = (mongo.collection(name) for name in (PURCHASES, USAGE, RUNS))
    theirs: Document = {"user_id": row["buyer_id"], "prompt_id": row["prompt_id"], "purpose": _BY_PURCHASE}
    ended = {**theirs, "timestamp": {"$gte": row["used_at"]}}

    async def work(session: Session) -> None:
        """A run that ends meanwhile writes its document as well, so that one of both begins again."""
        outcomes = {one["outcome"] async for one in usage.find(ended, {"outcome": 1}, session=session)}
        going_on = [one["_id"] async for one in runs.find(theirs, {"_id": 1}, session=session)]
        if RunOutcome.OK in outcomes or not (outcomes or going_on):
            return
        unchanged = {"_id": row["_id"], **_UNCOUNTED, "used_at": row["used_at"]}
        if not going_on:
            await purchases.update_one(unchanged, {"$set": {"used_at": None}}, session=session)
            return
        counted = await purchases.update_one(unchanged, {"$set": {"runs_counted": len(going_on)}}, session=session)
        if counted.modified_count:
            bound = {"$set": {"purchase_id": row["_id"]}}
            await runs.update_many({"_id": {"$in": going_on}}, bound, session=session)

    await run_transaction(mongo, work)
