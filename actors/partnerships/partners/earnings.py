"""What a change of a partnership means for what was earned: called in the transaction of every change of its state."""

from __future__ import annotations

from promptforge.actors.partnerships.partners.domain import Partner
from promptforge.core.context import Context


async def follow_state(before: Partner, after: Partner, tx: Context) -> None:
    """Freeze what is not settled yet where a partner stops earning, and let it go on where they earn again.

    `after.state` tells which it is; where both have the same state only the commission or an appeal has changed.
    """
