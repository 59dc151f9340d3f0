"""How a payout ends: sent, refused, or taken back. Each is one step in its caller's transaction, and counts once.

And what is left to do of one that was refused before it began.
"""

from __future__ import annotations

from typing import Any

from promptforge.actors.billing.ledger.messages import FinalisePayout, ReturnPayout, ReturnPayoutPart, WithholdLinked
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.notices import payout_returned, payout_reversed, payout_sent
from promptforge.actors.billing.payouts.domain import AT_STRIPE, Payout
from promptforge.actors.billing.payouts.messages import PayoutProgress
from promptforge.actors.billing.payouts.reasons import REFUSED
from promptforge.actors.billing.payouts.store import PayoutStore
from promptforge.actors.billing.stripe.connect import Transfer
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
from promptforge.core.failpoints import reach

_SENT = frozenset({PayoutProgress.SENT})


async def withhold_later(user_id: str, context: Context) -> None:
    """What linked accounts have brought somebody: by a job, for a payout that was refused has withheld nothing."""
    await context.enqueue(WithholdLinked(user_id=user_id), unique=f"withhold:{user_id}")


class PayoutEndings:
    """Whoever calls these asks `payout_holds`. Each answers the payout, or None where it had moved on before."""

    def __init__(self, payouts: PayoutStore) -> None:
        self._payouts = payouts

    async def sent(self, payout: Payout, transfer: Transfer, tx: Context) -> Payout | None:
        """The transfer is there."""
        now = tx.now()
        changes: dict[str, Any] = {  # Any: BSON
            "state": PayoutProgress.SENT,
            "reason": None,
            "reason_code": None,
            "transfer_id": transfer.id,
            "transferred_at": transfer.created,
            "sent_at": now,
        }
        after = await self._payouts.move(payout.id, AT_STRIPE, now=now, session=session_of(tx), **changes)
        if after is None:
            return None
        await tx.ask(FinalisePayout(payout_id=payout.id))
        await tx.enqueue(payout_sent(payout.id, payout.user_id, payout.shown_money))
        await tx.audit("payout.transferred", payout.id, after={"transfer_id": transfer.id, "money": payout.money})
        reach("payout.finalise.before_commit")
        return after

    async def refused(self, payout: Payout, reason: str, tx: Context) -> Payout | None:
        """Stripe will never make this transfer, and has made none."""
        now, said = tx.now(), f"Stripe refused the transfer ({reason})"
        why = {"reason": said, "reason_code": REFUSED}
        changes: dict[str, Any] = {"state": PayoutProgress.RETURNED, **why, "ended_at": now}
        after = await self._payouts.move(
            payout.id, AT_STRIPE, now=now, session=session_of(tx), of_key=payout.key_number, **changes
        )
        if after is None:
            return None
        await tx.ask(ReturnPayout(payout_id=payout.id))
        await tx.enqueue(payout_returned(payout.id, payout.user_id, from_millicredits(payout.amount), said))
        await tx.audit("payout.refused", payout.id, after={"reason": reason})
        reach("payout.returned.before_commit")
        return after

    async def taken_back(self, payout: Payout, money: int, tx: Context) -> Payout | None:
        """Of the transfer `money` has been reversed by now. The credits come back in proportion, rounded down."""
        if money <= payout.reversed_money:
            return None
        whole = money >= payout.money
        changes: dict[str, Any] = {"reversed_money": money}  # Any: BSON
        if whole:
            changes |= {"state": PayoutProgress.REVERSED, "ended_at": tx.now()}
        after = await self._payouts.move(payout.id, _SENT, now=tx.now(), session=session_of(tx), **changes)
        if after is None:
            return None
        before, total = payout.reversed_credits(payout.reversed_money), payout.reversed_credits(money)
        if whole:
            await tx.ask(ReturnPayout(payout_id=payout.id))
        elif total:
            await tx.ask(ReturnPayoutPart(payout_id=payout.id, total_millicredits=total))
        await tx.enqueue(payout_reversed(payout.id, payout.user_id, from_millicredits(total - before), money))
        await tx.audit("payout.reversed", payout.id, after={"money": money, "of": payout.money})
        return after
