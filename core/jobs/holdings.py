"""Which claims are this process's own: on their way to an answer, or with jobs that are not settled yet.

Whatever the database holds in this process's name beside these is a leftover of a claim whose answer was lost.
"""

from __future__ import annotations

from cachetools import TTLCache

from promptforge.core.jobs.documents import Job

EXPECTED_SECONDS = 60.0
"""A claim whose answer was lost may still arrive in MongoDB within this time."""
MOST_EXPECTED = 1000


class Holdings:
    """Tokens of claims. `expect` before a claim is sent, then `hold` each of its jobs, or `forget` it."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        """Claims, and how many of their jobs are not settled."""
        self._expected: TTLCache[str, None] = TTLCache(MOST_EXPECTED * 2, EXPECTED_SECONDS)

    @property
    def crowded(self) -> bool:
        """So many claims are under way that no more should be begun than has to be."""
        return len(self._expected) >= MOST_EXPECTED

    def expect(self, claim: str) -> None:
        self._expected[claim] = None

    def forget(self, claim: str) -> None:
        """It is known that nothing was claimed."""
        self._expected.pop(claim, None)

    def hold(self, job: Job) -> None:
        claim = job.claim or ""
        held = self._held.get(claim)
        if held is None:
            self._expected.pop(claim, None)
            held = 0
        self._held[claim] = held + 1

    def let_go(self, job: Job) -> None:
        claim = job.claim or ""
        left = self._held.get(claim, 0) - 1
        if left > 0:
            self._held[claim] = left
        else:
            self._held.pop(claim, None)

    def __contains__(self, claim: str) -> bool:
        return claim in self._held or claim in self._expected

    def tokens(self) -> list[str]:
        return sorted({*self._held, *self._expected})
