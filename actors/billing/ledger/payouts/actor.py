"""The ledger's side of payouts. Each is asked in the transaction of whoever talks to Stripe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.messages import (
    BeginPayoutTransfer,
    CancelPayout,
    CheckPayoutTransfer,
    FinalisePayout,
    PayoutHold,
    ReservePayout,
    ReturnPayout,
    ReturnPayoutPart,
)
from promptforge.actors.billing.ledger.payouts import commands
from promptforge.actors.billing.ledger.payouts.domain import Payout
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class PayoutHoldsActor(Actor):
    name = "payout_holds"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @handles(ReservePayout, key="user_id", transactional=True)
    async def reserve(self, message: ReservePayout, context: Context) -> PayoutHold:
        async def move(books: Books) -> Payout:
            return await commands.reserve(
                books, message.payout_id, user_id=message.user_id, amount=message.amount_millicredits
            )

        return await self._moved("payout.reserved", move, context)

    @handles(BeginPayoutTransfer, key="payout_id", transactional=True)
    async def begin(self, message: BeginPayoutTransfer, context: Context) -> PayoutHold:
        return await self._moved(
            "payout.sending", lambda books: commands.begin_sending(books, message.payout_id), context
        )

    @handles(CheckPayoutTransfer, transactional=True)
    async def check(self, message: CheckPayoutTransfer, context: Context) -> PayoutHold:
        async def work(tx: Context) -> PayoutHold:
            return _hold(await commands.check_sending(self._ledger.open(tx), message.payout_id))

        return await context.transaction(work)

    @handles(FinalisePayout, key="payout_id", transactional=True)
    async def finalise(self, message: FinalisePayout, context: Context) -> PayoutHold:
        return await self._moved("payout.sent", lambda books: commands.finish(books, message.payout_id), context)

    @handles(CancelPayout, key="payout_id", transactional=True)
    async def cancel(self, message: CancelPayout, context: Context) -> PayoutHold:
        return await self._moved("payout.cancelled", lambda books: commands.cancel(books, message.payout_id), context)

    @handles(ReturnPayout, key="payout_id", transactional=True)
    async def take_in_again(self, message: ReturnPayout, context: Context) -> PayoutHold:
        return await self._moved(
            "payout.returned", lambda books: commands.take_in_again(books, message.payout_id), context
        )

    @handles(ReturnPayoutPart, key="payout_id", transactional=True)
    async def take_part_in_again(self, message: ReturnPayoutPart, context: Context) -> PayoutHold:
        async def move(books: Books) -> Payout:
            return await commands.take_part_in_again(books, message.payout_id, message.total_millicredits)

        return await self._moved("payout.partly_returned", move, context)

    async def _moved(self, action: str, move: Callable[[Books], Awaitable[Payout]], context: Context) -> PayoutHold:
        async def work(tx: Context) -> PayoutHold:
            payout = await move(self._ledger.open(tx))
            await tx.audit(action, payout.id, after=_facts(payout))
            return _hold(payout)

        return await context.transaction(work)


def _hold(payout: Payout) -> PayoutHold:
    return PayoutHold(payout.id, payout.user_id, payout.amount, payout.state)


def _facts(payout: Payout) -> dict[str, str]:
    """For the audit log."""
    facts = {"user_id": payout.user_id, "state": payout.state.value}
    return {**facts, "returned": from_millicredits(payout.returned)} if payout.returned else facts
