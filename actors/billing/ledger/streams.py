"""Rows in the order of a textual key, walked side by side in flat memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from promptforge.core.mongo import Document, Rows

BATCH = 1000


class SortedStream:
    """Rows in the order of a textual key, to be walked beside another stream of the same order.

    MongoDB compares text by its UTF-8 bytes, and Python by code points: that is the same order.
    """

    def __init__(self, rows: Rows | AsyncIterator[Document], key: Callable[[Document], str]) -> None:
        self._rows: AsyncIterator[Document] = aiter(rows.batch_size(BATCH) if isinstance(rows, Rows) else rows)
        self._key = key
        self._head: Document | None = None
        self._ended = False

    async def key(self) -> str | None:
        """The next row's key; None at the end."""
        if self._head is None and not self._ended:
            self._head = await anext(self._rows, None)
            self._ended = self._head is None
        return None if self._head is None else self._key(self._head)

    async def take(self, key: str) -> Document | None:
        """The next row, if it has this key."""
        if await self.key() != key:
            return None
        row, self._head = self._head, None
        return row

    async def all_of(self, key: str) -> AsyncIterator[Document]:
        """The rows with this key, one after the other."""
        while (row := await self.take(key)) is not None:
            yield row


async def keys_of(*streams: SortedStream) -> AsyncIterator[str]:
    """Every key of any stream once, in order; the caller takes the rows before going on."""
    while True:
        heads = [key for stream in streams if (key := await stream.key()) is not None]
        if not heads:
            return
        yield min(heads)
