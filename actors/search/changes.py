"""What has changed since the index was written, as the change stream tells it: ids to be read again, of each kind.

Nothing is lost between hearing and writing: who takes ids and fails gives them back. A gap in the stream means that
anything may have changed, so that everything is to be read anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import anyio

from promptforge.actors.search.sources import SOURCES, Source
from promptforge.core.mongo import Change, ChangeFeed

SILENT_SECONDS = 2.0
"""From here on the index is said to be behind."""
MISTRUSTED_SECONDS = 30.0
"""From here on nothing is answered any more: somebody may have hidden what it would show."""


@dataclass(slots=True)
class Batch:
    """Ids by source, those in documents of theirs and those in related ones. `since`: when the first was heard of."""

    own: dict[Source, set[str]] = field(default_factory=dict)
    related: dict[Source, set[str]] = field(default_factory=dict)
    since: float = 0.0


def _infinity() -> float:
    return float("inf")


class ChangedDocuments:
    """`silent_seconds`: for how long nothing was heard; where no stream is followed, for ever."""

    def __init__(self, silent_seconds: Callable[[], float] = _infinity) -> None:
        self.silent_seconds = silent_seconds
        self.gaps = 0
        """How often changes may have been missed."""
        self._own: dict[Source, set[str]] = {source: set() for source in SOURCES}
        self._related: dict[Source, set[str]] = {source: set() for source in SOURCES}
        self._since: float | None = None
        self._wake: anyio.Event | None = None

    @property
    def heard(self) -> bool:
        return self.silent_seconds() < SILENT_SECONDS

    @property
    def waiting(self) -> int:
        """How many ids are to be read again."""
        return sum(len(ids) for ids in (*self._own.values(), *self._related.values()))

    def follow(self, feed: ChangeFeed) -> None:
        """To be called before the feed runs."""
        self.silent_seconds = feed.silent_seconds
        for source in SOURCES:
            feed.subscribe(source.collection, self._listener(self._own[source], source.fields))
            if source.related is not None:
                feed.subscribe(source.related.collection, self._listener(self._related[source], source.related.fields))
        feed.on_gap(self.gap)

    def _listener(self, ids: set[str], fields: frozenset[str] | None) -> Callable[[Change], None]:
        def changed(change: Change) -> None:
            if change.operation == "update" and fields is not None and fields.isdisjoint(change.updated):
                return
            ids.add(str(change.document_id))
            self._heard_of_one()

        return changed

    def _heard_of_one(self) -> None:
        self._since = self._since or time.monotonic()
        if self._wake is not None:
            self._wake.set()

    def gap(self) -> None:
        self.gaps += 1
        if self._wake is not None:
            self._wake.set()

    async def wait(self, seconds: float) -> None:
        """Until something has changed, at most so long."""
        if self.waiting:
            return
        self._wake = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._wake.wait()
        self._wake = None

    def take(self, most: int) -> Batch:
        """At most so many ids of each; what changes from now on is for the next time."""
        batch = Batch(_taken(self._own, most), _taken(self._related, most), self._since or time.monotonic())
        self._since = time.monotonic() if self.waiting else None
        return batch

    def give_back(self, batch: Batch) -> None:
        """They were not written."""
        for kept, taken in ((self._own, batch.own), (self._related, batch.related)):
            for source, ids in taken.items():
                kept[source] |= ids
        if self.waiting:
            self._since = batch.since

    def add(self, source: Source, ids: Iterable[str]) -> None:
        self._own[source].update(ids)


def _taken(kept: dict[Source, set[str]], most: int) -> dict[Source, set[str]]:
    taken = {}
    for source, ids in kept.items():
        if ids:
            some = {ids.pop() for _ in range(min(most, len(ids)))}
            taken[source] = some
    return taken
