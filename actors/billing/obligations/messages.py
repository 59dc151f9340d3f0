"""What somebody owes, is owed, or has under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Len

from promptforge.core.messages import Query, internal


@dataclass(frozen=True, slots=True)
class Obligations:
    """`reserved`: credits are set aside for a payout or a run. `payment`: one for credits is made and has not settled;
    `page`: one on which somebody may still pay is not a day old. `left`: balances, and sales and commissions that are
    not settled or collected; in millicredits.
    """

    debt: bool
    reserved: bool
    payout: bool
    dispute: bool
    payment: bool
    page: bool
    subscription: bool
    left: int


@internal
class GetObligations(Query[Obligations]):
    """What of somebody's money is not finished; in a transaction, as of its snapshot."""

    user_id: Annotated[str, Len(1, 64)]
