"""Takes credits back whose charge was refunded or disputed, and gives them back where that comes to nothing."""

from __future__ import annotations

from promptforge.actors.billing.ledger.domain import Journal, Platform
from promptforge.actors.billing.ledger.messages import (
    FreezeTopup,
    GiveBackTopup,
    TakeBackTopup,
    ThawTopup,
    TopupClaimed,
    UndoSales,
)
from promptforge.actors.billing.ledger.telling import debt_of, tell_of_debts
from promptforge.actors.billing.ledger.topups import commands
from promptforge.actors.billing.ledger.topups.domain import Claim, ClaimKind
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.billing.notices import (
    PAYMENT_DISPUTED,
    PAYMENT_REFUNDED,
    SALE_UNDONE,
    credits_frozen,
    credits_given_back,
    credits_taken_back,
    credits_thawed,
)
from promptforge.actors.marketplace.messages import RevokePurchase
from promptforge.core.context import Context
from promptforge.core.failpoints import reach
from promptforge.core.runtime import Actor, handles

_TAKEN = {ClaimKind.REFUND: PAYMENT_REFUNDED, ClaimKind.DISPUTE: PAYMENT_DISPUTED}
_GIVEN = {ClaimKind.REFUND: "A refund has failed", ClaimKind.DISPUTE: "A dispute was decided for us"}


class TopupsActor(Actor):
    """Asked in the transaction of the event that told of the claim. Whose credits they are is told in the same one."""

    name = "topups"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @handles(TakeBackTopup, key="topup_id", transactional=True)
    async def take_back(self, message: TakeBackTopup, context: Context) -> TopupClaimed:
        claim = Claim(message.claim_id, message.kind, message.amount)

        async def work(tx: Context) -> TopupClaimed:
            books = self._ledger.open(tx)
            taken = await commands.take_back(
                books,
                message.topup_id,
                claim,
                captured=message.captured,
                undo_sales=message.undo_sales,
                at_once=not message.undo_later,
            )
            await self._revoke(taken.undone, tx)
            if taken.more:
                await tx.enqueue(UndoSales(topup_id=message.topup_id))
            if taken.journal is not None and (amount := _moved(taken.journal, message.topup_id)):
                user_id, code = taken.journal.parties[0], _TAKEN[message.kind]
                owed = debt_of(taken.journal, user_id)
                await tx.enqueue(credits_taken_back(taken.journal.id, user_id, code, taken=amount, owed=owed))
            return await _told(tx, message.topup_id, taken.journal, commands.purchases_of(taken.undone))

        return await context.transaction(work)

    @handles(UndoSales, key="topup_id", transactional=True)
    async def undo(self, message: UndoSales, context: Context) -> int:
        async def work(tx: Context) -> int:
            undone = await commands.go_on_undoing(self._ledger.open(tx), message.topup_id)
            await self._revoke(undone.undone, tx)
            if undone.more:
                await tx.enqueue(UndoSales(topup_id=message.topup_id))
            elif undone.thawed.amount:
                held, last = undone.thawed, f"{message.topup_id}:undone"
                await tx.enqueue(credits_thawed(message.topup_id, held.user_id, held.amount, last))
            reach("undoing.before_commit")
            return len(undone.undone)

        return await context.transaction(work, completes=True)

    async def _revoke(self, undone: tuple[Journal, ...], tx: Context) -> None:
        for purchase_id in commands.purchases_of(undone):
            await tx.enqueue(RevokePurchase(purchase_id=purchase_id), unique=f"revoke:{purchase_id}")
        for journal in undone:
            await tell_of_debts(journal, SALE_UNDONE, tx)

    @handles(GiveBackTopup, key="topup_id", transactional=True)
    async def give_back(self, message: GiveBackTopup, context: Context) -> TopupClaimed:
        claim = Claim(message.claim_id, message.kind, message.amount)

        async def work(tx: Context) -> TopupClaimed:
            journal = await commands.give_back(self._ledger.open(tx), message.topup_id, claim)
            if journal is not None and (given := -_moved(journal, message.topup_id)):
                await tx.enqueue(credits_given_back(journal.id, journal.parties[0], given, _GIVEN[message.kind]))
            return await _told(tx, message.topup_id, journal, ())

        return await context.transaction(work)

    @handles(FreezeTopup, key="topup_id", transactional=True)
    async def freeze(self, message: FreezeTopup, context: Context) -> None:
        async def work(tx: Context) -> None:
            held = await commands.freeze(self._ledger.open(tx), message.topup_id, message.dispute_id)
            if held.amount:
                await tx.enqueue(credits_frozen(message.topup_id, held.user_id, held.amount, message.dispute_id))

        await context.transaction(work)

    @handles(ThawTopup, key="topup_id", transactional=True)
    async def thaw(self, message: ThawTopup, context: Context) -> None:
        async def work(tx: Context) -> None:
            held = await commands.thaw(self._ledger.open(tx), message.topup_id, message.dispute_id)
            if held.amount:
                await tx.enqueue(credits_thawed(message.topup_id, held.user_id, held.amount, message.dispute_id))

        await context.transaction(work)


def _moved(journal: Journal, topup_id: str) -> int:
    """What was taken of a payment's credits; below zero what was given back."""
    return sum(leg.amount for leg in journal.legs if leg.account is Platform.TOPUPS and leg.lot == topup_id)


async def _told(tx: Context, topup_id: str, journal: Journal | None, refunded: tuple[str, ...]) -> TopupClaimed:
    """What happened, for whoever asked and for the audit log."""
    if journal is None:
        return TopupClaimed(None, 0, refunded)
    await tx.audit("topup.claimed", topup_id, after={"journal_id": journal.id, **journal.refs})
    return TopupClaimed(journal.id, _moved(journal, topup_id), refunded)
