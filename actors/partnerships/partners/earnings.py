"""What a change of a partnership means for what was earned: called in the transaction of every change of its state."""

from __future__ import annotations

from promptforge.actors.billing.ledger.commissions.messages import FreezeCommissions
from promptforge.actors.partnerships.messages import PartnerState
from promptforge.actors.partnerships.partners.domain import Partner
from promptforge.core.context import Context


async def follow_state(before: Partner, after: Partner, tx: Context) -> None:
    """A suspension freezes what has not settled, in its own commit, until an administrator decides about it; and so
    does an end for fraud or broken terms, which cannot be taken back.

    Lifting it decides nothing: what is sold from then on is of a new term, and what was frozen still waits.
    """
    if before.state is PartnerState.APPROVED and (after.state is PartnerState.SUSPENDED or after.ended_for_cause):
        await tx.ask(FreezeCommissions(partner_id=after.id))
