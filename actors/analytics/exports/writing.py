"""One attempt at an export: rows are read, put into form and written piece by piece, in flat memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio

from promptforge.actors.analytics.exports.columns import Row
from promptforge.actors.analytics.exports.formats import encoder_of
from promptforge.actors.analytics.exports.messages import ExportView
from promptforge.actors.analytics.exports.sources import SOURCES, Source
from promptforge.actors.analytics.exports.store import ExportStore
from promptforge.core.context import Context
from promptforge.core.failpoints import reach
from promptforge.core.mongo import FileWriter, StoredFile
from promptforge.core.pages import Scan

MAX_ROWS = 10_000_000
MAX_BYTES = 4 * 1024**3
TOLD_EVERY_SECONDS = 1.0


class NotWanted(Exception):
    """The export is over, or another attempt has taken it up."""


class TooLarge(Exception):
    """There would be more rows or bytes than an export may have."""


@dataclass(slots=True)
class Attempt:
    """`rows` counts what is written."""

    export: ExportView
    writer: FileWriter
    file_id: str
    store: ExportStore
    rows: int = 0
    expected: int | None = None
    told_at: float = 0.0

    async def write(self, user_id: str, context: Context) -> StoredFile:
        """Answers the file. Raises `NotWanted` or `TooLarge`."""
        source = SOURCES[self.export.source]
        encoder = encoder_of(self.export.format, source.columns)
        after: str | None = None
        while True:
            piece: Scan[Any] = await context.ask(source.ask(user_id, after))  # Any: as in `Source`
            self.expected = piece.total if after is None else self.expected
            rows, more = self._chosen(source, piece)
            self.rows += len(rows)
            await self.writer.write(await anyio.to_thread.run_sync(encoder.rows, rows))
            if self.rows > MAX_ROWS or self.writer.size > MAX_BYTES:
                raise TooLarge
            await self._tell(context)
            reach("export.written")
            after = piece.next
            if after is None or not more:
                break
        await self.writer.write(await anyio.to_thread.run_sync(encoder.end))
        return await self.writer.close(now=context.now())

    def _chosen(self, source: Source, piece: Scan[Any]) -> tuple[list[Row], bool]:
        """The rows of the time that is asked for; and whether more may come."""
        since, until = self.export.since, self.export.until
        rows = [
            source.row(one)
            for one in piece.rows
            if source.when(one) < until and (since is None or source.when(one) >= since)
        ]
        past = source.newest_first and since is not None and bool(piece.rows) and source.when(piece.rows[-1]) < since
        return rows, not past

    async def _tell(self, context: Context) -> None:
        now = anyio.current_time()
        if now - self.told_at < TOLD_EVERY_SECONDS:
            return
        self.told_at = now
        if self.expected:
            percent = min(99.0, 100 * self.rows / self.expected)
            context.report_progress(percent, f"{self.rows:,} rows")
        wanted = await self.store.keep_progress(
            self.export.id, self.file_id, rows=self.rows, size=self.writer.size, expected=self.expected
        )
        if not wanted:
            raise NotWanted
