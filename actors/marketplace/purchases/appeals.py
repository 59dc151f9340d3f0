"""Appeals of sellers against refunds that moderators granted: the buyer keeps the refund, the platform pays."""

from __future__ import annotations

from promptforge.actors.billing.ledger.messages import CompensateSale
from promptforge.actors.marketplace.errors import NothingToAppeal
from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.messages import SaleView
from promptforge.actors.marketplace.purchases import notices
from promptforge.actors.marketplace.purchases.cases import refund_case
from promptforge.actors.marketplace.purchases.messages import AppealSaleRefund, DecideSaleAppeal, IsSaleAppealed
from promptforge.actors.marketplace.purchases.store import PurchaseStore, sale_view
from promptforge.actors.marketplace.rulings import domain as rulings
from promptforge.actors.marketplace.rulings.domain import Why
from promptforge.actors.moderation.messages import CaseKind
from promptforge.actors.users.messages import IsAccountClosed
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class SaleAppealsActor(Actor):
    name = "sale_appeals"
    asks = ("sales", "users")

    def __init__(self, purchases: PurchaseStore, listings: ListingStore) -> None:
        self._purchases = purchases
        self._listings = listings

    @handles(AppealSaleRefund, key="purchase_id", atomic=True)
    async def appeal_sale(self, message: AppealSaleRefund, context: Context) -> SaleView:
        """Of two at once the second conflicts, starts over and sees the first."""
        purchase = await self._purchases.get_sold(message.purchase_id, context.user_id, session=context.session)
        ruling = rulings.appealed(purchase.ruling, context.now())
        appealed = await self._purchases.set_ruling(purchase.id, ruling, session=context.session)
        against = ruling["case_id"]
        case = await refund_case(
            self._listings, purchase, context, kind=CaseKind.SALE_APPEAL, words=message.words, against=against
        )
        await context.enqueue(case, unique=f"sale_appeal:{purchase.id}")
        return sale_view(appealed)

    @handles(IsSaleAppealed, transactional=True)
    async def is_sale_appealed(self, message: IsSaleAppealed, context: Context) -> bool:
        purchase = await self._purchases.get(message.purchase_id, session=context.session)
        return rulings.waits(purchase.ruling) and not await context.ask(IsAccountClosed(user_id=purchase.seller_id))

    @handles(DecideSaleAppeal, key="purchase_id", atomic=True)
    async def decide_sale_appeal(self, message: DecideSaleAppeal, context: Context) -> None:
        """The purchase's ruling is written in the same commit as the ledger: decided once, and so paid once."""
        purchase = await self._purchases.get(message.purchase_id, session=context.session)
        if purchase.ruling is None or not rulings.waits(purchase.ruling):
            raise NothingToAppeal
        why = Why(message.case_id, message.reason_code, message.public_note)
        ruling = rulings.heard(purchase.ruling, why, context.now(), granted=message.granted)
        await self._purchases.set_ruling(purchase.id, ruling, session=context.session)
        compensated = 0
        if message.granted:
            given = await context.ask(CompensateSale(purchase_id=purchase.id, reason=message.words))
            compensated = given.amount_millicredits
        for notice in notices.sale_appeal_heard(purchase, message, compensated):
            await context.enqueue(notice, owner_id=notice.user_id)
        facts = {"seller_id": purchase.seller_id, "reason_code": message.reason_code, "granted": str(message.granted)}
        await context.audit("sale.appeal_decided", purchase.id, after=facts)
