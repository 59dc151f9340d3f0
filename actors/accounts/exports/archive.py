"""A zip of JSON files, written while what goes into it is read: what is ready is taken out, and memory stays flat.

It is pressed together in a thread: a few megabytes of texts would hold up everybody else for a quarter of a second.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from datetime import datetime

import anyio
import orjson

from promptforge.core.mongo import Document

README = "README.md"
PRESSED_AT_BYTES = 64 * 1024


class _Ready(io.RawIOBase):
    """What the zip has written and nobody has taken yet; it cannot be gone back in."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # whatever has a buffer, as the zip writes it
        self._bytes += piece
        return len(piece)

    def take(self) -> bytes:
        data = bytes(self._bytes)
        self._bytes.clear()
        return data


File = tuple[str, str, AsyncIterator[Document]]
"""Its name, what it is, and what is in it."""


async def archive(files: Iterable[File], *, now: datetime) -> AsyncGenerator[bytes, None]:
    """The zip in pieces: a JSON array per file, and in the end the page that says what each one is.

    A file that would be empty is left out.
    """
    ready, contents = _Ready(), list[tuple[str, str, int]]()
    with zipfile.ZipFile(ready, "w", zipfile.ZIP_DEFLATED) as target:
        for name, what, documents in files:
            number = 0
            async with aclosing(_written(target, _info(f"{name}.json", now), documents)) as written:
                async for so_far in written:
                    number = so_far
                    yield ready.take()
            if number:
                contents.append((f"{name}.json", what, number))
        target.writestr(_info(README, now), readme(contents, now))
    yield ready.take()


async def _written(
    target: zipfile.ZipFile, info: zipfile.ZipInfo, documents: AsyncIterator[Document]
) -> AsyncGenerator[int, None]:
    """How many documents are written by now; an entry is begun with the first one, and without one there is none."""
    first = await anext(aiter(documents), None)
    if first is None:
        return
    number, waiting = 1, bytearray(b"[\n" + _json(first))
    # Nobody knows yet how large it becomes, and what is above 2 GiB has to be said before.
    with target.open(info, "w", force_zip64=True) as entry:
        async for document in documents:
            waiting += b",\n" + _json(document)
            number += 1
            if len(waiting) >= PRESSED_AT_BYTES:
                await anyio.to_thread.run_sync(entry.write, bytes(waiting))
                waiting.clear()
                yield number
        await anyio.to_thread.run_sync(entry.write, bytes(waiting + b"\n]\n"))
    yield number


def readme(contents: Iterable[tuple[str, str, int]], now: datetime) -> str:
    """What each file is."""
    rows = [f"| {name} | {what} | {number} |" for name, what, number in contents]
    return "\n".join([
        "# What PromptForge holds of you",
        "",
        f"As of {now:%Y-%m-%d %H:%M} UTC. Each file is a JSON array of records as they are stored: times in UTC,",
        "credits in thousandths, money in the smallest unit of its currency. Other people's ids stand as `somebody",
        "else`. What opens something (secrets of keys and webhooks) is not included, nor what is kept for a minute.",
        "",
        "| file | what it holds | records |",
        "|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def _info(name: str, now: datetime) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=(now.year, now.month, now.day, now.hour, now.minute, now.second))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return info


def _json(document: Document) -> bytes:
    return orjson.dumps(document, default=_told, option=orjson.OPT_NON_STR_KEYS)


def _told(value: object) -> str:
    """What JSON has no form for: bytes, and ids of MongoDB's own."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
