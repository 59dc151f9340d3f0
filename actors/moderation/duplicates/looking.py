"""Looks for what was approved, or refused, before and is like a text: candidates from memory, then each exactly."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import anyio
from anyio import to_thread

from promptforge.actors.moderation.checks.findings import worst_first
from promptforge.actors.moderation.checks.messages import Check, Finding, Severity
from promptforge.actors.moderation.duplicates.fingerprints import Fingerprint, Likeness, likeness
from promptforge.actors.moderation.duplicates.index import DuplicateIndex
from promptforge.actors.moderation.duplicates.store import FingerprintStore, Known

TAKEN_OVER = 0.8
"""From how many common passages on it is the same text, for a person who compares."""
PARTLY = 0.4
SAYS_THE_SAME = 0.93
SAYS_MUCH_THE_SAME = 0.85
MOST_NAMED = 5


class Duplicates:
    """One search at a time: it catches up with what has changed before it looks."""

    def __init__(self, store: FingerprintStore, index: DuplicateIndex) -> None:
        self.store = store
        self._index = index
        self._lock = anyio.Lock()

    async def catch_up(self) -> int:
        """Read what has changed since the last time, or everything; answers how many texts are known."""
        async with self._lock:
            await self._catch_up()
            return len(self._index)

    async def _catch_up(self) -> None:
        ids = self._index.take_changed()
        if ids is None or ids:
            with ExitStack() as undo:
                undo.callback(self._index.clear)  # where it is cut short, everything is read the next time
                self._index.put([entry async for entry in self.store.each_entry(ids)])
                undo.pop_all()

    async def find(self, wanted: Sequence[Fingerprint], *, listing_id: str, seller_id: str) -> list[Finding]:
        """The listings that any of these texts is like: `named`."""
        found: list[tuple[Finding, bool]] = []
        for one, others in await self._near(wanted, listing_id):
            found += await to_thread.run_sync(_findings, one, others, seller_id)
        return named(found)

    async def _near(self, wanted: Sequence[Fingerprint], listing_id: str) -> list[tuple[Fingerprint, list[Known]]]:
        async with self._lock:
            await self._catch_up()
            candidates = await to_thread.run_sync(lambda: [self._index.candidates(one) for one in wanted])
        found = []
        for one, near in zip(wanted, candidates, strict=True):
            others = [known for known in await self.store.list_known(near) if known.listing_id != listing_id]
            found.append((one, others))
        return found


def _findings(one: Fingerprint, others: Sequence[Known], seller_id: str) -> list[tuple[Finding, bool]]:
    """With whether the other listing is the same seller's, and was not refused."""
    found = []
    for known in others:
        own = known.seller_id == seller_id
        finding = finding_of(likeness(one, known.fingerprint), known, own=own)
        if finding is not None:
            found.append((finding, own and known.refused is None))
    return found


def named(found: Sequence[tuple[Finding, bool]]) -> list[Finding]:
    """Those that a moderator is told: each listing once, the worst first, then the likest.

    Of the seller's own listings, which a finding is paired with whether it names one, only one: many copies of one's
    own do not push out the one that was there before them.
    """
    best: dict[str | None, tuple[Finding, bool]] = {}
    for finding, own in sorted(found, key=lambda pair: worst_first(pair[0])):
        best.setdefault(finding.listing_id, (finding, own))
    others = [finding for finding, own in best.values() if not own]
    mine = [finding for finding, own in best.values() if own][:1]
    return sorted([*others, *mine], key=worst_first)[:MOST_NAMED]


def finding_of(like: Likeness, known: Known, *, own: bool) -> Finding | None:
    """What a text's likeness to one that was decided about says to a moderator; None where that is nothing."""
    if max(like.common, like.contained) >= PARTLY:
        severity = Severity.HIGH if max(like.common, like.contained) >= TAKEN_OVER else Severity.MEDIUM
        code, score = "same_passages", max(like.common, like.contained)
        detail = f"{like.contained:.0%} of the shorter text's passages of four words are in the other one too"
    elif like.meaning >= SAYS_MUCH_THE_SAME:
        severity = Severity.MEDIUM if like.meaning >= SAYS_THE_SAME else Severity.LOW
        code, score = "same_meaning", like.meaning
        detail = "It says much the same in other words"
    else:
        return None
    if known.refused is not None:
        detail = f"{detail}; the other one was rejected or suspended ({known.refused})"
    elif own:
        severity, detail = Severity.LOW, f"{detail}; the other one is the same seller's"
    return Finding(Check.NEAR_DUPLICATE, severity, code, detail, listing_id=known.listing_id, score=round(score, 3))
