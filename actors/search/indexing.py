"""Keeps the index: made from the database at the start, then what has changed is read again and written.

What is heard of while the index is being made is written into it (and into the one before, which still answers) between
two pages of the scan, by the same loop: the last that was read of a document is what stays. After a gap in the change
stream another generation is made in the same way.

It is trusted as long as nothing that may not wait was missed for `MISTRUSTED_SECONDS`: not told by the stream, told and
not written, or never told because of a gap that ended such a silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime

import anyio
import structlog

from promptforge.actors.search.changes import MISTRUSTED_SECONDS, SILENT_SECONDS, Batch, ChangedDocuments
from promptforge.actors.search.local.engine import LocalEngine
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.messages import IndexState, Kind, SearchDocument
from promptforge.actors.search.sources import SOURCES, Source
from promptforge.core.context import Context
from promptforge.core.errors import DATABASE_AWAY

AT_ONCE = 500
"""Documents that are read and written together."""
REST_SECONDS = 0.2
"""Between two commits: what a commit costs, it costs at most so often."""
IDLE_SECONDS = 1.0
RETRY_SECONDS = 1.0
LISTENING_SECONDS = 0.02
SHOWN_SECONDS = 1.0
"""Until the first index shows how far it is; then four times as long each time, for each time leaves a piece of its
own, and each piece is looked into by every search.
"""

log = structlog.get_logger(__name__)


class Indexing:
    """`run` is the loop; the rest says how it goes."""

    def __init__(self, engine: LocalEngine, changed: ChangedDocuments, *, made: Callable[[], LocalIndex]) -> None:
        self._engine = engine
        self._changed = changed
        self._make = made
        self._building: LocalIndex | None = None
        self._gaps_known = -1
        self._shown_for = self._show_at = 0.0
        """For how long the index under way stays as it is shown, and until when."""
        self.begun = anyio.Event()
        """Set once there is an index to answer from, and changes of what is in it are heard of."""
        self.generation = 0
        self.lag_seconds = 0.0
        self.built_at: datetime | None = None
        self.build_seconds: float | None = None

    @property
    def state(self) -> IndexState:
        if self._building is not None or self._gap:
            return IndexState.WARMING
        late = not self._changed.heard or self._changed.oldest_seconds >= SILENT_SECONDS
        return IndexState.BEHIND if late else IndexState.READY

    @property
    def trustworthy(self) -> bool:
        """Whether what was hidden lately would be known."""
        missed = self._changed.untold_at_gap if self._gap else 0.0
        return max(missed, self._changed.untold_seconds(), self._changed.oldest_seconds) < MISTRUSTED_SECONDS

    @property
    def _gap(self) -> bool:
        return self._changed.gaps != self._gaps_known

    async def run(self, context: Context) -> None:
        while True:
            try:
                if self._to_be_built():
                    # What was read before changes are heard of might be out of date for ever.
                    await (self._build(context) if self._changed.heard else anyio.sleep(LISTENING_SECONDS))
                    continue
                await self._changed.wait(IDLE_SECONDS)
                if self._changed.waiting:
                    await self._catch_up(context)
                    await anyio.sleep(REST_SECONDS)
            except DATABASE_AWAY as error:
                log.warning("search.interrupted", error=type(error).__name__)
                await anyio.sleep(RETRY_SECONDS)

    def _to_be_built(self) -> bool:
        serving = self._engine.serving
        return self._gap or (serving is not None and serving.wasteful)

    # Making it anew

    async def _build(self, context: Context) -> None:
        gaps, begun = self._changed.gaps, time.monotonic()
        self._building = index = self._make()
        self._shown_for, self._show_at = SHOWN_SECONDS, begun + SHOWN_SECONDS
        try:
            if self._engine.serving is None:
                self._engine.serving = index  # what is there of it answers, and says that it is warming
                self.begun.set()
            for source in SOURCES:
                await self._read_all(source, index, context, gaps=gaps)
            await index.commit()
            if self._changed.gaps != gaps:
                return  # changes were missed meanwhile: begin again
            index.made()
            self._engine.serving, self._gaps_known = index, gaps
            self._changed.filled()
        finally:
            self._building = None
        self.generation += 1
        self.built_at, self.build_seconds = context.now(), round(time.monotonic() - begun, 3)
        log.info("search.built", documents=len(index.meanings), seconds=self.build_seconds)

    async def _read_all(self, source: Source, index: LocalIndex, context: Context, *, gaps: int) -> None:
        """Given up at another gap: what was read is no use."""
        after: str | None = None
        while self._changed.gaps == gaps:
            page = await context.ask(source.scan(after, AT_ONCE))
            await index.put(page.items)
            if self._changed.waiting:
                await self._catch_up(context)
            elif self._engine.serving is index and time.monotonic() >= self._show_at:
                await index.commit()
                self._shown_for *= 4
                self._show_at = time.monotonic() + self._shown_for
            after = page.next
            if after is None:
                return

    # Following

    def _written_to(self) -> Sequence[LocalIndex]:
        return tuple(dict.fromkeys(index for index in (self._engine.serving, self._building) if index is not None))

    async def _catch_up(self, context: Context) -> None:
        """What has changed, read again and written wherever it can be found."""
        batch = self._changed.take(AT_ONCE)
        with ExitStack() as undo:
            undo.callback(self._changed.give_back, batch)  # where it is cut short, it is read the next time
            wanted = batch.wanted()
            await self._find_related(batch, wanted, context)
            for source, ids in wanted.items():
                documents = await context.ask(source.read(tuple(ids)))
                gone = ids - {document.id for document in documents}
                await self._write(source.kind, documents, tuple(gone))
            for index in self._written_to():
                await index.commit()
            undo.pop_all()
        if batch.own or batch.related:
            self.lag_seconds = round(self._changed.oldest_seconds, 3)
        self._changed.written()

    async def _write(self, kind: Kind, documents: Sequence[SearchDocument], gone: Sequence[str]) -> None:
        for index in self._written_to():
            await index.remove(kind, gone)
            await index.put(documents)

    async def _find_related(self, batch: Batch, wanted: dict[Source, set[str]], context: Context) -> None:
        """Documents that show something of what has changed elsewhere are read again too; those of many later."""
        for source, ids in batch.related.items():
            if source.related is not None:
                found = await context.ask(source.related.find(tuple(ids)))
                wanted.setdefault(source, set()).update(found[:AT_ONCE])
                self._changed.put_off(source, found[AT_ONCE:])
