"""What somebody with the database's password can write: journals that balance, and every sum that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from promptforge.core.mongo import Document
from tests.integration.billing.bank import Bank

WITH_LOTS = {"granted", "purchased"}


@dataclass(frozen=True, slots=True)
class Forged:
    """A leg."""

    account: str
    amount: int
    user: str | None = None
    lot: str | None = None
    source: str | None = None


async def forge(bank: Bank, key: str, kind: str, legs: Sequence[Forged], **refs: str) -> None:
    """A journal whose legs sum to zero, with the balances and the lots that they make.

    Its first party is that of the first leg that is somebody's. It is of later than what any settlement has folded.
    """
    assert sum(leg.amount for leg in legs) == 0
    now = datetime.now(UTC) + timedelta(days=90)
    parties = list(dict.fromkeys(leg.user for leg in legs if leg.user))
    journal = {"kind": kind, "refs": refs, "parties": parties, "leg_count": len(legs), "created_at": now}
    await bank.collection("ledger_journals").insert_one({"_id": key, **journal, "reverses": None})
    for number, leg in enumerate(legs):
        await forge_leg(bank, f"{key}#{number:03d}", leg, journal_id=key, created_at=now)


async def forge_leg(bank: Bank, leg_id: str, leg: Forged, **fields: object) -> None:
    """A leg alone, with the balance and the lot that it makes."""
    row = {"account": leg.account, "amount": leg.amount, "user_id": leg.user, "lot": leg.lot, "source": leg.source}
    await bank.collection("transactions").insert_one({"_id": leg_id, **row, **fields})
    if leg.user is None or leg.account == "pending":
        return
    users, changed = bank.collection("users"), {f"credits.{leg.account}": leg.amount}
    await users.update_one({"_id": leg.user}, {"$inc": changed})
    if leg.account in WITH_LOTS:
        user = await users.find_one({"_id": leg.user})
        assert user is not None
        lots = [*user["credits"].get("lots", ()), {"lot": leg.lot, "fund": leg.account, "remaining": leg.amount}]
        await users.update_one({"_id": leg.user}, {"$set": {"credits.lots": _added_up(lots)}})


def _added_up(lots: list[Document]) -> list[Document]:
    sums: dict[str, Document] = {}
    for lot in lots:
        there = sums.setdefault(lot["lot"], {**lot, "remaining": 0})
        there["remaining"] += lot["remaining"]
    return [lot for lot in sums.values() if lot["remaining"]]


async def found(bank: Bank) -> set[tuple[str, str]]:
    """Rule and subject of each violation."""
    return {(one.rule, one.subject) for one in (await bank.verify()).violations}
