"""Shows receipts, and asks Stripe for what they need: an actor of its own, because that waits."""

from __future__ import annotations

from promptforge.actors.billing.errors import UnknownAtStripe
from promptforge.actors.billing.ledger.topups.store import TopupStore
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.links.learning import learn_instruments
from promptforge.actors.billing.links.store import LinkStore
from promptforge.actors.billing.receipts.messages import (
    CountryConflictView,
    GetReceipt,
    ListCountryConflicts,
    ListReceipts,
    ReadReceipt,
    ReceiptView,
)
from promptforge.actors.billing.receipts.store import ReceiptStore
from promptforge.actors.billing.stripe.receipts import StripeReceipts
from promptforge.core.context import Context
from promptforge.core.jobs import Discard, RetryAfter
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

INVOICED_WITHIN_SECONDS = 60


class ReceiptsActor(Actor):
    name = "receipts"

    def __init__(self, receipts: ReceiptStore, topups: TopupStore, links: LinkStore, stripe: StripeReceipts) -> None:
        self._receipts = receipts
        self._topups = topups
        self._links = links
        self._stripe = stripe

    @handles(ListReceipts)
    async def list_own(self, message: ListReceipts, context: Context) -> Page[ReceiptView]:
        page = await self._receipts.list_page(context.user_id, Cursor.decode_optional(message.cursor), message.limit)
        claimed = await self._topups.find_many([receipt.topup_id for receipt in page.items])
        return Page(tuple(receipt.view(claimed.get(receipt.topup_id)) for receipt in page.items), page.next)

    @handles(GetReceipt)
    async def get(self, message: GetReceipt, context: Context) -> ReceiptView:
        receipt = await self._receipts.get_own(message.receipt_id, context.user_id)
        claimed = await self._topups.find_many([receipt.topup_id])
        return receipt.view(claimed.get(receipt.topup_id))

    @handles(ListCountryConflicts)
    async def list_conflicts(self, message: ListCountryConflicts, context: Context) -> Page[CountryConflictView]:
        page = await self._receipts.list_conflicts(Cursor.decode_optional(message.cursor), message.limit)
        return Page(tuple(receipt.conflict_view() for receipt in page.items), page.next)

    @handles(ReadReceipt, key="receipt_id")
    async def read(self, message: ReadReceipt, context: Context) -> None:
        receipt = await self._receipts.get(message.receipt_id)
        try:
            paid = await self._stripe.read(receipt.topup_id)
        except UnknownAtStripe as error:
            raise Discard(error.detail or "Stripe does not know it any more") from error
        if paid is None:
            raise Discard("Stripe knows of no payment")

        async def work(tx: Context) -> None:
            await self._receipts.put_paid(receipt.id, paid, now=tx.now(), session=session_of(tx))
            if paid.instrument is not None:
                await learn_instruments(self._links, receipt.user_id, (paid.instrument,), tx)

        await context.transaction(work, completes=paid.complete)
        if not paid.complete:
            raise RetryAfter(INVOICED_WITHIN_SECONDS)
