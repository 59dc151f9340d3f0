"""Ledgers of this service's first days: their pending legs named no sale, and sales had no documents.

Only databases of development are so old. Legs that a checkpoint has sealed are among those that are completed, so the
seals are made anew from the beginning where anything changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from promptforge.actors.billing.ledger.domain import Fund, JournalKind, Owed, Platform
from promptforge.actors.billing.ledger.sales.domain import Sale, refund_key, settle_key
from promptforge.actors.billing.ledger.sales.store import SaleStore
from promptforge.actors.billing.ledger.sealing import CHECKPOINTS, HEADS
from promptforge.actors.billing.ledger.store import JOURNALS, LEGS
from promptforge.core.mongo import Document, Mongo, Session
from promptforge.deploy.upgrade.batches import in_batches

BATCH = 250
_WITHOUT_LOT: Document = {"lot": None, "account": {"$in": [Owed.PENDING.value, Platform.TOPUPS.value]}}
"""Money that went out at Stripe for no credits has none either, for good; such legs are no payment's."""
_PAYMENTS = frozenset({JournalKind.TOPUP.value, JournalKind.INVOICE.value})

log = structlog.get_logger(__name__)


async def complete_early_ledgers(mongo: Mongo) -> None:
    completed = 0

    async def work(rows: Sequence[Document], session: Session) -> None:
        nonlocal completed
        completed += await _complete(mongo, sorted({row["journal_id"] for row in rows}), session)

    await in_batches(mongo, LEGS, {"journal_id": {"$type": "string"}, **_WITHOUT_LOT}, work, size=BATCH)
    if completed:
        log.info("upgrade.early_ledger", journals=completed)


async def _complete(mongo: Mongo, keys: Sequence[str], session: Session) -> int:
    """Give the legs of these journals their lot, and the sales their documents; answers how many journals."""
    legs, sales = mongo.collection(LEGS), SaleStore(mongo)
    wanted: Document = {"_id": {"$in": list(keys)}, "kind": {"$in": [*_PAYMENTS, JournalKind.PURCHASE.value]}}
    journals = await mongo.collection(JOURNALS).find(wanted, session=session).to_list(len(keys))
    for journal in journals:
        one: Document = {"journal_id": journal["_id"], **_WITHOUT_LOT}
        await legs.update_many(one, {"$set": {"lot": journal["_id"]}}, session=session)
        if journal["kind"] == JournalKind.PURCHASE.value:
            rows = await legs.find({"journal_id": journal["_id"]}, session=session).to_list(None)
            if (sale := _sale(journal, rows)) is not None and not await _is_over(mongo, sale, journal, session):
                await sales.put(sale, session=session)
    if journals:
        for seals in (CHECKPOINTS, HEADS):
            await mongo.collection(seals).delete_many({}, session=session)
    return len(journals)


def _sale(journal: Document, legs: Sequence[Document]) -> Sale | None:
    pending = [leg for leg in legs if leg["account"] == Owed.PENDING.value]
    if not pending:
        return None

    def of(source: Fund) -> int:
        return sum(leg["amount"] for leg in pending if leg["source"] == source.value)

    return Sale(
        id=journal["_id"],
        seller_id=journal["refs"]["seller_id"],
        sold_at=journal["created_at"],
        payable=of(Fund.PURCHASED),
        granted=of(Fund.GRANTED),
        paid_with=tuple(leg["lot"] for leg in legs if leg["lot"] and leg["account"] in set(Fund)),
        buyer_id=journal["refs"]["buyer_id"],
    )


async def _is_over(mongo: Mongo, sale: Sale, journal: Document, session: Session) -> bool:
    """Whether it has a document, or was refunded or settled: then nothing is pending that the legs would not say."""
    ends = [refund_key(journal["refs"]["purchase_id"]), settle_key(sale)]
    if await mongo.collection(JOURNALS).find_one({"_id": {"$in": ends}}, {"_id": 1}, session=session):
        return True
    return await SaleStore(mongo).find(sale.id, session=session) is not None
