"""How long a handle is kept for whoever had it."""

from __future__ import annotations

import hashlib
from datetime import timedelta

KEPT_FREE = timedelta(days=90)
"""How long a handle that somebody gave up leads to them, and nobody else may have it; and for how long an erased
account's is nobody's.
"""


MOST_KEPT = 5
"""Who has so many handles kept for them takes no new one: names are for whoever uses them."""
MOST_SPELLINGS = 10


def held_as(alike: str) -> str:
    """What stands for the skeleton of an erased account's handle: it tells whether some handle is that one, no more."""
    return hashlib.sha256(f"promptforge handle\n{alike}".encode()).hexdigest()
