"""Credits that somebody has paid for, with the checkout and the receipt that every payment has."""

from __future__ import annotations

from dataclasses import asdict

from promptforge.actors.billing.checkouts.store import CHECKOUTS
from promptforge.actors.billing.ledger.domain import Journal, JournalKind, Platform
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.messages import CheckoutState
from promptforge.actors.billing.packs import CreditPack
from promptforge.actors.billing.receipts.domain import Receipt
from promptforge.actors.billing.receipts.messages import ReceiptKind
from promptforge.actors.billing.receipts.store import ReceiptStore
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.mongo import Mongo


async def write_papers(mongo: Mongo, journal: Journal, tx: Context) -> None:
    """Of a journal of bought credits, which was posted just now in this transaction; nothing of any other."""
    if journal.kind not in {JournalKind.TOPUP, JournalKind.INVOICE}:
        return
    (user_id,) = journal.parties
    pack = CreditPack("pack_of_tests", -journal.total(Platform.TOPUPS), 0, 500)
    kind = ReceiptKind.PACK if journal.kind is JournalKind.TOPUP else ReceiptKind.SUBSCRIPTION
    receipt = Receipt(
        new_id("rct"), user_id, journal.id, kind, pack.total, pack.currency, pack.price_minor_units, tx.now()
    )
    session = session_of(tx)
    await ReceiptStore(mongo).insert(receipt, session=session)
    if kind is ReceiptKind.PACK:
        row = {
            "_id": new_id("chk"),
            "user_id": user_id,
            "pack": asdict(pack),
            "customer_id": None,
            "waiver": None,
            "idempotency_key": new_id("idk"),
            "state": CheckoutState.PAID.value,
            "session_id": journal.id.removeprefix("topup:"),
            "url": None,
            "created_at": tx.now(),
            "paid_at": tx.now(),
        }
        await mongo.collection(CHECKOUTS).insert_one(row, session=session)
