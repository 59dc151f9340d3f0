"""Writes the receipt of a payment in the transaction that grants its credits; a job asks Stripe for the rest of it.

Credits thus never wait for what the receipt needs besides.
"""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.packs import CreditPack
from promptforge.actors.billing.receipts.domain import Receipt
from promptforge.actors.billing.receipts.messages import ReadReceipt, ReceiptKind
from promptforge.actors.billing.receipts.store import ReceiptStore
from promptforge.actors.billing.terms import Waiver
from promptforge.core.context import Context
from promptforge.core.ids import new_id


@dataclass(frozen=True, slots=True)
class Sold:
    """What to whom, and what they agreed to."""

    user_id: str
    pack: CreditPack
    waiver: Waiver | None


class ReceiptWriter:
    def __init__(self, receipts: ReceiptStore) -> None:
        self._receipts = receipts

    async def write(self, topup_id: str, kind: ReceiptKind, sold: Sold, tx: Context) -> None:
        """Once for each payment: in the transaction that has posted its journal just now."""
        receipt = Receipt(
            id=new_id("rct"),
            user_id=sold.user_id,
            topup_id=topup_id,
            kind=kind,
            credits=sold.pack.total,
            currency=sold.pack.currency,
            subtotal=sold.pack.price_minor_units,
            created_at=tx.now(),
            waiver=sold.waiver,
        )
        await self._receipts.insert(receipt, session=session_of(tx))
        await tx.enqueue(ReadReceipt(receipt_id=receipt.id))
