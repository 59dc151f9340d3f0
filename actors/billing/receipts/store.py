"""Every query on the collection `receipts`: one document for each payment that brought credits."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from promptforge.actors.billing.receipts.domain import Paid, Receipt, Tax
from promptforge.actors.billing.receipts.messages import ReceiptKind
from promptforge.actors.billing.terms import waiver_from, waiver_row
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject, kept

RECEIPTS = "receipts"
INDEXES: dict[str, tuple[Index, ...]] = {
    RECEIPTS: (
        Index((("user_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("topup_id", 1),), unique=True),
        Index((("paid.charge", 1),), partial={"paid.charge": {"$exists": True}}),
        Index((("country_conflicts", 1), ("created_at", -1), ("_id", -1)), partial={"country_conflicts": True}),
    ),
}
RECORD = kept("a tax record of what was bought", years=10, since="created_at")
HELD = {
    RECEIPTS: Held(
        "Your receipts: amounts, taxes, the country, and how it is known",
        (Subject("user_id", {"paid": RECORD, "waiver": RECORD, "country_conflicts": RECORD}, owned=True),),
        plain=frozenset({"topup_id", "kind", "currency"}),
    ),
}


class ReceiptStore:
    def __init__(self, mongo: Mongo) -> None:
        self._receipts = mongo.collection(RECEIPTS)

    async def insert(self, receipt: Receipt, *, session: Session) -> None:
        await self._receipts.insert_one(
            {
                "_id": receipt.id,
                "user_id": receipt.user_id,
                "topup_id": receipt.topup_id,
                "kind": receipt.kind.value,
                "credits": receipt.credits,
                "currency": receipt.currency,
                "subtotal": receipt.subtotal,
                "created_at": receipt.created_at,
                "paid": None,
                "waiver": waiver_row(receipt.waiver),
                "country_conflicts": False,
            },
            session=session,
        )

    async def put_paid(self, receipt_id: str, paid: Paid, *, now: datetime, session: Session) -> None:
        """What was read before is replaced: Stripe makes an invoice a little later than its payment."""
        told = {**asdict(paid), "taxes": [asdict(tax) for tax in paid.taxes]}
        written = {"paid": told, "country_conflicts": paid.country_conflicts, "read_at": now}
        await self._receipts.update_one({"_id": receipt_id}, {"$set": written}, session=session)

    async def get(self, receipt_id: str) -> Receipt:
        """Raises `NotFound`."""
        return _receipt_from(await self._receipts.find_one({"_id": receipt_id}))

    async def get_own(self, receipt_id: str, user_id: str) -> Receipt:
        """Raises `NotFound`, also for another user's."""
        return _receipt_from(await self._receipts.find_one({"_id": receipt_id, "user_id": user_id}))

    async def list_page(self, user_id: str, cursor: Cursor | None, limit: int) -> Page[Receipt]:
        """Newest first."""
        wanted: Document = {"user_id": user_id, **(cursor.after() if cursor else {})}
        rows = self._receipts.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _receipt_from)

    async def list_conflicts(self, cursor: Cursor | None, limit: int) -> Page[Receipt]:
        """Whose two pieces of evidence of where the buyer is contradict each other, newest first."""
        wanted: Document = {"country_conflicts": True, **(cursor.after() if cursor else {})}
        rows = self._receipts.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _receipt_from)


def _receipt_from(row: Document | None) -> Receipt:
    if row is None:
        raise NotFound("There is no such receipt, or it is not yours")
    paid = row["paid"]
    return Receipt(
        id=row["_id"],
        user_id=row["user_id"],
        topup_id=row["topup_id"],
        kind=ReceiptKind(row["kind"]),
        credits=row["credits"],
        currency=row["currency"],
        subtotal=row["subtotal"],
        created_at=row["created_at"],
        paid=Paid(**{**paid, "taxes": tuple(Tax(**tax) for tax in paid["taxes"])}) if paid else None,
        waiver=waiver_from(row),
    )
