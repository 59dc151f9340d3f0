"""Keeping what somebody pays or is paid with, and telling the audit log where that links them to somebody."""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.billing.ledger.messages import WithholdLinked
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.links.store import LinkStore
from promptforge.actors.marketplace.reviews.messages import LeaveOutLinked
from promptforge.core.context import Context

LOOKED_AGAIN_SECONDS = 2 * 3600.0
"""By then every transaction has ended that had not heard of the link."""


async def learn_instruments(links: LinkStore, user_id: str, instruments: Sequence[str], tx: Context) -> None:
    """`instruments` as `LinkStore` names them. The log says of what kind it was, and never which."""
    joined = await links.learn(user_id, instruments, now=tx.now(), session=session_of(tx))
    for instrument, other in joined.items():
        facts = {"with": other, "shared": instrument.partition(":")[0]}
        await tx.audit("account.linked", user_id, after=facts)
    if joined:  # what had settled between them by now
        await tx.enqueue(WithholdLinked(user_id=user_id))
        await tx.enqueue(LeaveOutLinked(user_id=user_id))
        # Once more for what was being bought or reviewed in the same moment.
        await tx.enqueue(LeaveOutLinked(user_id=user_id), delay_seconds=LOOKED_AGAIN_SECONDS)
