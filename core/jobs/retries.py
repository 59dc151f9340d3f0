"""When to try again: exponential backoff with full jitter."""

from __future__ import annotations

from random import Random

BASE_SECONDS = 1.0
FACTOR = 3.0
LONGEST_SECONDS = 3600.0
DEFAULT_MAX_ATTEMPTS = 10
"""With the figures above the tenth attempt starts some hours after the first: long enough to outlive an outage."""


def backoff_seconds(attempt: int, rng: Random) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): between half and all of 1, 3, 9 … 3600."""
    longest = min(BASE_SECONDS * FACTOR ** (attempt - 1), LONGEST_SECONDS)
    return longest * rng.uniform(0.5, 1.0)
