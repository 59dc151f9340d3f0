"""The zip of a personal export, as other programs read it."""

from __future__ import annotations

import io
import threading
import zipfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from random import Random

import orjson
import pytest

from promptforge.actors.accounts.exports.archive import _Ready, archive
from promptforge.core.mongo import Document

pytestmark = pytest.mark.anyio


async def test_a_file_may_be_larger_than_the_first_zips_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above 2 GiB in earnest."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10_000)
    rows = [{"_id": number, "words": "so many"} for number in range(1_000)]

    async def documents() -> AsyncIterator[Document]:
        for row in rows:
            yield row

    files = [("events", "What happened", documents())]
    data = b"".join([piece async for piece in archive(files, now=datetime(2026, 11, 26, tzinfo=UTC))])
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert read.testzip() is None
        assert orjson.loads(read.read("events.json")) == rows


async def test_what_is_large_is_pressed_together_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 megabytes nothing but heads and ends is written by the thread that serves everybody."""
    here, written = threading.get_ident(), Counter[bool]()
    write = _Ready.write

    def watched(self: _Ready, data: object) -> int:
        number = write(self, data)
        written[threading.get_ident() == here] += number
        return number

    monkeypatch.setattr(_Ready, "write", watched)
    rng = Random(20261127)
    rows = [{"_id": number, "text": rng.randbytes(50_000).hex()} for number in range(200)]

    async def documents() -> AsyncIterator[Document]:
        for row in rows:
            yield row

    largest, data = 0, bytearray()
    files = [("prompts", "What you wrote", documents())]
    async with aclosing(archive(files, now=datetime(2026, 11, 27, tzinfo=UTC))) as pieces:
        async for piece in pieces:
            largest = max(largest, len(piece))
            data += piece
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert orjson.loads(read.read("prompts.json")) == rows
    assert largest < 500_000, "pieces are taken out as they are ready"
    assert written[False] > 1_000_000
    assert written[True] < 100_000
