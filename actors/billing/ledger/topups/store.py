"""Every query on the collection `ledger_topups`: the claims on the charges that brought credits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from promptforge.actors.billing.ledger.domain import account_named
from promptforge.actors.billing.ledger.topups.domain import Claim, ClaimKind, Taken, Topup
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject

TOPUPS = "ledger_topups"
FROZEN: Document = {"frozen_by.0": {"$exists": True}}
INDEXES: dict[str, tuple[Index, ...]] = {
    TOPUPS: (
        Index((("claims.id", 1),)),
        Index((("user_id", 1),), partial=FROZEN),
        Index((("user_id", 1), ("_id", 1))),
    ),
}
HELD = {
    TOPUPS: Held("Claims on payments of yours", (Subject("user_id"),), plain=frozenset({"*"})),
}


class TopupStore:
    def __init__(self, mongo: Mongo) -> None:
        self._topups = mongo.collection(TOPUPS)

    async def find(self, topup_id: str, *, session: Session) -> Topup | None:
        row = await self._topups.find_one({"_id": topup_id}, session=session)
        return None if row is None else topup_from(row)

    async def put(self, topup: Topup, *, session: Session) -> None:
        row = {
            "user_id": topup.user_id,
            "credits": topup.credits,
            "captured": topup.captured,
            "claims": [{**asdict(claim), "kind": claim.kind.value} for claim in topup.claims],
            "pieces": [
                {"account": piece.account.value, "amount": piece.amount, "lot": piece.lot} for piece in topup.pieces
            ],
            "frozen_by": list(topup.frozen_by),
            "absorbed": topup.absorbed,
        }
        await self._topups.update_one({"_id": topup.id}, {"$set": row}, upsert=True, session=session)

    async def has_open_dispute(self, user_id: str, *, session: Session | None) -> bool:
        wanted = {"user_id": user_id, **FROZEN}
        return await self._topups.find_one(wanted, {"_id": 1}, session=session) is not None

    async def find_many(self, topup_ids: Sequence[str]) -> dict[str, Topup]:
        """Of these, those on whose charge there were claims."""
        rows = await self._topups.find({"_id": {"$in": list(topup_ids)}}).to_list(len(topup_ids) or 1)
        return {row["_id"]: topup_from(row) for row in rows}

    async def known_claims(self, claim_ids: Sequence[str]) -> dict[str, bool]:
        """Claim → whether it stands, of those that have been heard of."""
        rows = self._topups.find({"claims.id": {"$in": list(claim_ids)}}, {"claims": 1})
        claims = [claim for row in await rows.to_list(len(claim_ids)) for claim in row["claims"]]
        return {claim["id"]: claim["stands"] for claim in claims if claim["id"] in claim_ids}


def topup_from(row: Document) -> Topup:
    """A stored document as what it tells of."""
    return Topup(
        id=row["_id"],
        user_id=row["user_id"],
        credits=row["credits"],
        captured=row["captured"],
        claims=tuple(
            Claim(
                claim["id"],
                ClaimKind(claim["kind"]),
                claim["amount"],
                claim["stands"],
                claim.get("undoes", claim["kind"] == ClaimKind.DISPUTE),
            )
            for claim in row["claims"]
        ),
        pieces=tuple(Taken(account_named(piece["account"]), piece["amount"], piece["lot"]) for piece in row["pieces"]),
        frozen_by=tuple(row["frozen_by"]),
        absorbed=row.get("absorbed", 0),
    )
