"""Every query on the collection `ledger_payouts`: which way each payout's reserve went."""

from __future__ import annotations

from promptforge.actors.billing.ledger.payouts.domain import Payout, PayoutState
from promptforge.core.mongo import Index, Mongo, Session
from promptforge.core.personal import Held, Subject

PAYOUTS = "ledger_payouts"
INDEXES: dict[str, tuple[Index, ...]] = {PAYOUTS: (Index((("user_id", 1),)),)}
HELD = {
    PAYOUTS: Held("Which way the credits of your payouts went", (Subject("user_id"),), plain=frozenset({"*"})),
}


class PayoutStore:
    def __init__(self, mongo: Mongo) -> None:
        self._payouts = mongo.collection(PAYOUTS)

    async def find(self, payout_id: str, *, session: Session) -> Payout | None:
        row = await self._payouts.find_one({"_id": payout_id}, session=session)
        if row is None:
            return None
        state = PayoutState(row["state"])
        return Payout(row["_id"], row["user_id"], row["amount"], state, row.get("returned", 0))

    async def put(self, payout: Payout, *, session: Session) -> None:
        row = {
            "user_id": payout.user_id,
            "amount": payout.amount,
            "state": payout.state.value,
            "returned": payout.returned,
        }
        await self._payouts.update_one({"_id": payout.id}, {"$set": row}, upsert=True, session=session)
