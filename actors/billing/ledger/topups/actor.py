"""Takes credits back whose charge was refunded or disputed, and gives them back where that comes to nothing."""

from __future__ import annotations

from promptforge.actors.billing.ledger.domain import Journal, Platform
from promptforge.actors.billing.ledger.messages import (
    FreezeTopup,
    GiveBackTopup,
    TakeBackTopup,
    ThawTopup,
    TopupClaimed,
)
from promptforge.actors.billing.ledger.topups import commands
from promptforge.actors.billing.ledger.topups.domain import Claim
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.marketplace.messages import RevokePurchase
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class TopupsActor(Actor):
    """Asked in the transaction of the event that told of the claim."""

    name = "topups"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @handles(TakeBackTopup, key="topup_id", transactional=True)
    async def take_back(self, message: TakeBackTopup, context: Context) -> TopupClaimed:
        claim = Claim(message.claim_id, message.kind, message.amount)

        async def work(tx: Context) -> TopupClaimed:
            taken = await commands.take_back(
                self._ledger.open(tx),
                message.topup_id,
                claim,
                captured=message.captured,
                undo_sales=message.undo_sales,
            )
            for purchase_id in taken.refunded:
                await tx.enqueue(RevokePurchase(purchase_id=purchase_id), unique=f"revoke:{purchase_id}")
            return await _told(tx, message.topup_id, taken.journal, taken.refunded)

        return await context.transaction(work)

    @handles(GiveBackTopup, key="topup_id", transactional=True)
    async def give_back(self, message: GiveBackTopup, context: Context) -> TopupClaimed:
        claim = Claim(message.claim_id, message.kind, message.amount)

        async def work(tx: Context) -> TopupClaimed:
            journal = await commands.give_back(self._ledger.open(tx), message.topup_id, claim)
            return await _told(tx, message.topup_id, journal, ())

        return await context.transaction(work)

    @handles(FreezeTopup, key="topup_id", transactional=True)
    async def freeze(self, message: FreezeTopup, context: Context) -> None:
        async def work(tx: Context) -> None:
            await commands.freeze(self._ledger.open(tx), message.topup_id, message.dispute_id)

        await context.transaction(work)

    @handles(ThawTopup, key="topup_id", transactional=True)
    async def thaw(self, message: ThawTopup, context: Context) -> None:
        async def work(tx: Context) -> None:
            await commands.thaw(self._ledger.open(tx), message.topup_id, message.dispute_id)

        await context.transaction(work)


async def _told(tx: Context, topup_id: str, journal: Journal | None, refunded: tuple[str, ...]) -> TopupClaimed:
    """What happened, for whoever asked and for the audit log."""
    if journal is None:
        return TopupClaimed(None, 0, refunded)
    moved = sum(leg.amount for leg in journal.legs if leg.account is Platform.TOPUPS and leg.lot == topup_id)
    await tx.audit("topup.claimed", topup_id, after={"journal_id": journal.id, **journal.refs})
    return TopupClaimed(journal.id, moved, refunded)
