"""The ledger as the commands see it, within one transaction.

The rules of the ledger (`sales/commands.py`, `topups/commands.py`, `payouts/commands.py`, `adjustments/commands.py`,
`runs.py`) are written once against this interface. MongoDB implements it in `transaction.py`, and the property tests in
memory, where ten thousand steps take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from promptforge.actors.billing.ledger.budgets.domain import Budget
from promptforge.actors.billing.ledger.commissions.domain import Freeze, PartnerBalance
from promptforge.actors.billing.ledger.domain import Journal
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.payouts.domain import Payout
from promptforge.actors.billing.ledger.sales.domain import Sale
from promptforge.actors.billing.ledger.topups.domain import Topup

MOST_SALES = 200
"""How many sales one command looks at: it is one transaction, which ends after 60 s at the latest."""


class Books(Protocol):
    """`put_…` replaces what `find_…` found; two transactions that put the same thing conflict, and one starts over."""

    @property
    def now(self) -> datetime: ...

    async def holdings(self, user_id: str) -> Holdings:
        """Raises `NotFound` for an unknown user."""
        ...

    async def find_journal(self, journal_id: str) -> Journal | None: ...

    async def post(self, journal: Journal) -> bool:
        """Post a journal once, and fold its legs into the stored balances. False where its key was posted before.

        What comes in pays debts first. Raises `InsufficientCredits` where a balance or a lot would go below zero,
        `JournalMismatch` where the key was posted with other facts.
        """
        ...

    async def find_sale(self, sale_id: str) -> Sale | None: ...

    async def put_sale(self, sale: Sale) -> None: ...

    async def open_sales(self, seller_id: str) -> Sequence[Sale]:
        """A seller's sales of which something payable is pending, the oldest first; at most `MOST_SALES`."""
        ...

    async def open_sales_paid_with(self, lot: str) -> Sequence[Sale]:
        """The unpaid sales that a lot paid for, the newest first; at most `MOST_SALES`."""
        ...

    async def has_settled_since_before(self, seller_id: str, moment: datetime) -> bool:
        """Whether a sale that the seller made before `moment` has settled, and brought them something payable."""
        ...

    async def earned_of_linked(self, seller_id: str) -> Sequence[Sale]:
        """A seller's sales to accounts linked with theirs of which something has settled into earned credits and was
        not withheld; at most `MOST_SALES`.
        """
        ...

    async def commissions_of_linked(self, referrer_id: str) -> Sequence[Sale]:
        """Sales that somebody referred, to or of accounts linked with theirs, of whose commission something was
        released and not withheld; at most `MOST_SALES`.
        """
        ...

    async def are_linked(self, one: str, other: str) -> bool:
        """Whether they share a card or a bank account, directly or through others."""
        ...

    async def find_topup(self, topup_id: str) -> Topup | None:
        """What is known of the claims on a payment's charge; None where there were none."""
        ...

    async def put_topup(self, topup: Topup) -> None: ...

    async def has_open_dispute(self, user_id: str) -> bool:
        """Whether a payment of theirs is disputed and that is not decided, also where nothing of it is left."""
        ...

    async def freeze_lot(self, user_id: str, lot: str, *, frozen: bool) -> None:
        """Mark what is left of a lot, if anything is; what comes back to it later is frozen by its `Topup`."""
        ...

    async def find_budget(self, budget_id: str) -> Budget | None: ...

    async def open_budgets(self, subject: str) -> Sequence[Budget]:
        """Those that have not ended, the oldest first."""
        ...

    async def put_budget(self, budget: Budget) -> None: ...

    async def partner(self, partner_id: str) -> PartnerBalance: ...

    async def begin_term(self, partner_id: str, term: int) -> None: ...

    async def close_partner(self, partner_id: str) -> None: ...

    async def find_freeze(self, partner_id: str, term: int) -> Freeze | None: ...

    async def put_freeze(self, freeze: Freeze) -> None: ...

    async def find_payout(self, payout_id: str) -> Payout | None: ...

    async def put_payout(self, payout: Payout) -> None: ...


async def unposted(books: Books, key: Callable[[int], str]) -> str:
    """The first of the keys for 1, 2 and so on under which nothing is posted yet."""
    number = 1
    while await books.find_journal(key(number)) is not None:
        number += 1
    return key(number)
