"""Sales that a partner brought, and what becomes of their commissions."""

from __future__ import annotations

from promptforge.actors.billing.ledger.commissions.messages import (
    CollectCommissions,
    CommissionsStand,
    DecideFreeze,
    FreezeCommissions,
    GetCommissions,
)
from promptforge.actors.billing.ledger.messages import SettleSales
from promptforge.actors.billing.messages import SaleCommission
from tests.integration.billing.bank import Bank
from tests.support.processes import SteppedClock

PARTNER = "ptn_a"


class Trade:
    """A seller, a partner who sends buyers, and what becomes of it."""

    def __init__(self, bank: Bank, clock: SteppedClock, seller: str, referrer: str) -> None:
        self.bank = bank
        self.clock = clock
        self.seller = seller
        self.referrer = referrer

    async def sells(self, purchase_id: str, price: int = 100, *, buyer: str | None = None, bp: int = 500) -> str:
        buyer = buyer or await self.bank.user(purchased=price)
        commission = SaleCommission(PARTNER, bp, self.referrer, "code_a")
        await self.bank.charge(buyer, self.seller, price, purchase_id, commission=commission)
        return buyer

    async def a_month_passes(self) -> None:
        self.clock.advance(days=31)
        await self.settles()

    async def settles(self) -> None:
        """As every hour: sales, and then what is pending of commissions."""
        await self.bank.context().ask(SettleSales())
        await self.bank.process.runner.drain()

    async def stand(self) -> CommissionsStand:
        assert (await self.bank.verify()).violations == ()
        return await self.bank.context().ask(GetCommissions(partner_id=PARTNER))

    async def has(self) -> tuple[int, int, int]:
        """Pending, frozen and earned, in whole credits."""
        stand = await self.stand()
        return stand.pending // 1000, stand.frozen // 1000, stand.earned // 1000

    async def fees(self) -> int:
        return await self.bank.balance_of("platform:fees") // 1000

    async def freeze(self) -> int:
        return await self.bank.context().transaction(lambda tx: tx.ask(FreezeCommissions(partner_id=PARTNER)))

    async def decide(self, term: int, *, release: bool) -> None:
        await self.bank.context().ask(
            DecideFreeze(
                partner_id=PARTNER,
                term=term,
                release=release,
                decided_by="usr_admin",
                reason="looked at",
                reason_code="other",
            )
        )
        await self.bank.process.runner.drain()

    async def collect(self, collection_id: str = "col_1", credits: int | None = None) -> int:
        amount = None if credits is None else credits * 1000
        owned = {"$setOnInsert": {"owner": self.referrer}}
        await self.bank.collection("partners").update_one({"_id": PARTNER}, owned, upsert=True)
        message = CollectCommissions(
            collection_id=collection_id, partner_id=PARTNER, owner_id=self.referrer, amount_millicredits=amount
        )
        return await self.bank.context().ask(message) // 1000
