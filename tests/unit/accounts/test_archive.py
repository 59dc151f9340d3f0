"""The zip of a personal export, as other programs read it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import orjson
import pytest

from promptforge.actors.accounts.exports.archive import archive
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
