"""What other features read of the ledger: somebody's own entries, and every leg."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.billing.messages import TransactionView
from promptforge.core.messages import Query, internal
from promptforge.core.pages import Scan


@internal
class ScanTransactions(Query[Scan[TransactionView]]):
    """What changed a user's credits, newest first."""

    user_id: str
    after: str | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class LegView:
    """A leg of a journal, as it is stored; people by their internal ids."""

    id: str
    journal_id: str
    kind: str
    account: str
    user_id: str | None
    amount: str
    lot: str | None
    source: str | None
    created_at: datetime


@internal
class ScanLegs(Query[Scan[LegView]]):
    """Every leg of the ledger in the order of their journals' keys."""

    after: str | None = None
    limit: int = 1000
