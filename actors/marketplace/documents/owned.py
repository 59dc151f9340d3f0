"""What somebody owns, in this process's memory; see `PerPerson`."""

from __future__ import annotations

from collections.abc import Callable

from promptforge.actors.marketplace.documents.messages import Bought
from promptforge.core.per_person import PerPerson

MOST_OWNED = 100_000
"""What is known of everybody together, a person counting for one more; about 30 MB."""
Owned = PerPerson[tuple[int, tuple[Bought, ...]]]
"""Of each person so many of the newest."""


def owned(trusted: Callable[[], bool] = lambda: False) -> Owned:
    return PerPerson(trusted, size=lambda known: 1 + len(known[1]), most=MOST_OWNED)
