"""What has changed since the index was written, as the change stream tells it: ids to be read again, of each kind.

Nothing is lost between hearing and writing: who takes ids and fails gives them back. A gap in the stream means that
anything may have changed, so that everything is to be read anew. What was heard of first is taken first; what only
changes an order (`Source.may_wait`) makes way for everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import anyio

from promptforge.actors.search.sources import SOURCES, Source
from promptforge.core.mongo import Change, ChangeFeed

SILENT_SECONDS = 2.0
"""From here on the index is said to be behind."""
MISTRUSTED_SECONDS = 30.0
"""From here on nothing is answered any more: somebody may have hidden what it would show."""
BESIDE = 100
"""Ids of what may wait that are taken together with others."""
Heard = dict[str, float]
"""Ids by when they were first heard of since they were last written, the earliest first."""


@dataclass(slots=True)
class Batch:
    """Ids by source, those in documents of theirs, those of them that might wait, and those in related ones."""

    own: dict[Source, Heard] = field(default_factory=dict)
    waited: dict[Source, Heard] = field(default_factory=dict)
    related: dict[Source, Heard] = field(default_factory=dict)

    def wanted(self) -> dict[Source, set[str]]:
        """Ids of documents of theirs, by source."""
        sources = dict.fromkeys((*self.own, *self.waited))
        return {source: {*self.own.get(source, ()), *self.waited.get(source, ())} for source in sources}


def _infinity() -> float:
    return float("inf")


class ChangedDocuments:
    """`untold_seconds`: how long ago all that had happened was told; where no stream is followed, for ever."""

    def __init__(
        self, untold_seconds: Callable[[], float] = _infinity, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.untold_seconds = untold_seconds
        self.clock = clock
        self.gaps = 0
        """How often changes may have been missed."""
        self.untold_at_gap = 0.0
        """The longest `untold_seconds` that ended in a gap, of those since the last that was filled."""
        self._own: dict[Source, Heard] = {source: {} for source in SOURCES}
        self._may_wait: dict[Source, Heard] = {source: {} for source in SOURCES}
        self._related: dict[Source, Heard] = {source: {} for source in SOURCES}
        self._taken: Batch | None = None
        self._wake: anyio.Event | None = None

    @property
    def heard(self) -> bool:
        """Changes are told as they happen."""
        return self.untold_seconds() < SILENT_SECONDS

    @property
    def waiting(self) -> int:
        """How many ids are to be read again."""
        return sum(len(ids) for kept in (self._own, self._may_wait, self._related) for ids in kept.values())

    @property
    def oldest_seconds(self) -> float:
        """How long ago the first was heard of that is not written yet, of what may not wait; 0 where there is none."""
        kept = [self._own, self._related]
        if self._taken is not None:
            kept += [self._taken.own, self._taken.related]
        firsts = [next(iter(ids.values())) for sources in kept for ids in sources.values() if ids]
        return max(0.0, self.clock() - min(firsts)) if firsts else 0.0

    def follow(self, feed: ChangeFeed) -> None:
        """To be called before the feed runs."""
        self.untold_seconds = feed.untold_seconds
        for source in SOURCES:
            feed.subscribe(source.collection, self._own_listener(source))
            if source.related is not None:
                listener = self._related_listener(source, source.related.fields)
                feed.subscribe(source.related.collection, listener)
        feed.on_gap(self.gap)

    def _own_listener(self, source: Source) -> Callable[[Change], None]:
        own, may_wait = self._own[source], self._may_wait[source]

        def changed(change: Change) -> None:
            identifier = str(change.document_id)
            if change.operation == "update":
                updated = _roots(change)
                if source.fields is not None and source.fields.isdisjoint(updated):
                    return
                if updated <= source.may_wait:
                    if identifier not in own:
                        self._hear(may_wait, identifier)
                    return
            may_wait.pop(identifier, None)
            self._hear(own, identifier)

        return changed

    def _related_listener(self, source: Source, fields: frozenset[str]) -> Callable[[Change], None]:
        def changed(change: Change) -> None:
            if change.operation != "update" or not fields.isdisjoint(_roots(change)):
                self._hear(self._related[source], str(change.document_id))

        return changed

    def _hear(self, ids: Heard, identifier: str) -> None:
        ids.setdefault(identifier, self.clock())
        if self._wake is not None:
            self._wake.set()

    def gap(self) -> None:
        if self.untold_seconds() < float("inf"):  # before the first word there was nothing to miss
            self.untold_at_gap = max(self.untold_at_gap, self.untold_seconds())
        self.gaps += 1
        if self._wake is not None:
            self._wake.set()

    def filled(self) -> None:
        """All has been read anew since the last gap."""
        self.untold_at_gap = 0.0

    def put_off(self, source: Source, ids: Iterable[str]) -> None:
        """They are to be read again as well, after everything else."""
        for identifier in ids:
            if identifier not in self._own[source]:
                self._hear(self._may_wait[source], identifier)

    async def wait(self, seconds: float) -> None:
        """Until something has changed, at most so long."""
        if self.waiting:
            return
        self._wake = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._wake.wait()
        self._wake = None

    def take(self, most: int) -> Batch:
        """At most so many ids of each, to be told `written` or given back before others are taken.

        What changes from now on is for the next time.
        """
        own, related = _first(self._own, most), _first(self._related, most)
        waited = _first(self._may_wait, BESIDE if own or related else most)
        self._taken = Batch(own, waited, related)
        return self._taken

    def written(self) -> None:
        """What was taken is found now."""
        self._taken = None

    def give_back(self, batch: Batch) -> None:
        """They were not written."""
        self._taken = None
        both = ((self._own, batch.own), (self._may_wait, batch.waited), (self._related, batch.related))
        for kept, taken in both:
            for source, ids in taken.items():
                since = {one: heard for one, heard in kept[source].items() if one not in ids}
                kept[source].clear()
                kept[source].update(ids)
                kept[source].update(since)


def _roots(change: Change) -> frozenset[str]:
    """The fields of an update, without what is behind a dot."""
    return frozenset(name.partition(".")[0] for name in change.updated)


def _first(kept: Mapping[Source, Heard], most: int) -> dict[Source, Heard]:
    taken = {}
    for source, ids in kept.items():
        if ids:
            some = [one for one, _ in zip(ids, range(most), strict=False)]
            taken[source] = {one: ids.pop(one) for one in some}
    return taken
