"""A movement of real money at Stripe, and the legs that it is posted with. Amounts are minor units of the currency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

BALANCE = "stripe:balance"
FEES = "stripe:fees"
OVERLAP_SECONDS = 3 * 24 * 3600
"""How far back each walk goes beyond where the last one began: a movement may be listed later than it was made."""
TRANSFER = "transfer"
"""The kind of what went to connected accounts."""


@dataclass(frozen=True, slots=True)
class Movement:
    """A balance transaction: `net` = `amount` − `fee` is what it does to Stripe's balance; `kind` is its category.

    Nothing here of it ever changes at Stripe; what does (whether it is available yet) is not kept.
    """

    id: str
    currency: str
    amount: int
    fee: int
    net: int
    kind: str
    source: str | None
    created: int

    def legs(self) -> tuple[tuple[str, int], ...]:
        """Account and amount: what came in and which part Stripe kept, against what it was for. They sum to zero."""
        named = ((BALANCE, self.net), (FEES, self.fee), (f"stripe:{self.kind}", -self.amount))
        return tuple((account, amount) for account, amount in named if amount)


@dataclass(frozen=True, slots=True)
class MoneyPage:
    """Movements, the newest first; `more`: there are older ones."""

    movements: tuple[Movement, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """A walk over Stripe's list from the newest to those made at `since`, and how far it has come.

    It is stored after each page, so that whoever is interrupted goes on from there. `newest` is where it began: once it
    has ended, everything made until then is posted.
    """

    since: int
    newest: int | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of one currency, at one moment."""

    currency: str
    stripe: int
    ledger: int

    @property
    def ok(self) -> bool:
        return self.stripe == self.ledger


@dataclass(frozen=True, slots=True)
class Checked:
    """The last comparison of every currency, and when it was made."""

    at: datetime
    currencies: tuple[Comparison, ...]


def compare(stripe: Mapping[str, int], ledger: Mapping[str, int]) -> tuple[Comparison, ...]:
    """Currency by currency; one that only either of them knows is zero to the other."""
    return tuple(
        Comparison(currency, stripe.get(currency, 0), ledger.get(currency, 0))
        for currency in sorted(stripe.keys() | ledger.keys())
    )
