"""What a verification counts and names."""

from __future__ import annotations

from collections.abc import Iterable

from promptforge.actors.billing.messages import LedgerSeal, MoneyComparison, Violation
from promptforge.core.amounts import from_millicredits

NAMED = 100
"""How many violations a report names; it counts all of them."""


class Findings:
    """Counts what was looked at, and keeps the first violations."""

    def __init__(self) -> None:
        self.journals = 0
        self.legs = 0
        self.accounts = 0
        self.purchases = 0
        self.movements = 0
        self.money: list[MoneyComparison] = []
        self.seal: LedgerSeal | None = None
        self.count = 0
        self.named: list[Violation] = []

    def add(self, violations: Iterable[Violation]) -> None:
        for violation in violations:
            self.count += 1
            if len(self.named) < NAMED:
                self.named.append(violation)


def credits(amount: object) -> str:
    """Millicredits for people; whatever else is stored, as it is."""
    return from_millicredits(amount) if isinstance(amount, int) else repr(amount)
