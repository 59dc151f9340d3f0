"""What other features read of the ledger: somebody's own entries, every leg, and journals as the market sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

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


class Trade(StrEnum):
    """Journals in which somebody bought, or got back, something of a seller's."""

    PURCHASE = "purchase"
    RUN = "run"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class JournalFigures:
    """What a journal says of the market. `place` is where to go on after it.

    `paid` is what the buyer paid, or of a refund what they got back, in millicredits; `accounts` are the sums of its
    legs on accounts of the platform.
    """

    place: str
    kind: str
    created_at: datetime
    trade: Trade | None
    buyer_id: str | None
    paid: int
    accounts: Mapping[str, int]


@internal
class ScanJournals(Query[Scan[JournalFigures]]):
    """Every journal in the order in which they were made; `settled`: those before which none can still appear."""

    after: str | None = None
    limit: int = 500
    settled: bool = False


@dataclass(frozen=True, slots=True)
class RunIncome:
    """What sealed runs of a listing brought their seller on a day, and what of it was taken back; in millicredits.

    `listing_id` is null of runs from before the ledger was told it.
    """

    day: date
    listing_id: str | None
    runs: int
    net: int
    refunds: int
    refunded_net: int


@internal
class SumRunIncome(Query[tuple[RunIncome, ...]]):
    """What runs of each listing brought a seller on the days (UTC) from `since` to before `until`, as it was booked."""

    seller_id: str
    since: datetime
    until: datetime
