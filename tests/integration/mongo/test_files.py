"""Files in MongoDB: what is read is what was written, whichever part of it; and other programs know the layout."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from random import Random

import gridfs
import pytest
from pymongo import MongoClient

from promptforge.core.mongo import FILE_INDEXES, EmbeddedMongod, FileBroken, Files, Mongo, StoredFile, ensure_indexes
from promptforge.core.mongo.files import CHUNK_BYTES, CHUNKS

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 9 * CHUNK_BYTES + 12_345)


@pytest.fixture
async def files(mongo: Mongo) -> Files:
    await ensure_indexes(mongo, FILE_INDEXES)
    return Files(mongo)


async def write(files: Files, content: bytes, *, piece: int = 100_000, name: str = "file") -> StoredFile:
    writer = files.writer(name, f"{name}.bin")
    for start in range(0, len(content), piece):
        await writer.write(content[start : start + piece])
    return await writer.close(now=NOW)


async def read(files: Files, file: StoredFile, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in files.read(file, start, end)])


async def test_any_part_of_a_file_of_any_size_is_what_was_written(mongo: Mongo, files: Files) -> None:
    rng = Random(1)
    for size in SIZES:
        content = rng.randbytes(size)
        file = await write(
            files, content, piece=rng.choice([1000, 77_777, CHUNK_BYTES, 10**6]) if size > 1 else 1, name=f"f{size}"
        )
        assert (file.size, file.sha256) == (size, hashlib.sha256(content).hexdigest())
        assert await files.find(file.id) == file
        edges = sorted(
            {0, 1, size // 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, size - 1, size} & set(range(size + 1))
        )
        for start in edges:
            for end in edges:
                assert await read(files, file, start, end) == content[start:end], (size, start, end)


async def test_gridfs_reads_it(mongod: EmbeddedMongod, mongo: Mongo, files: Files) -> None:
    content = Random(2).randbytes(3 * CHUNK_BYTES + 5)
    file = await write(files, content)
    client: MongoClient[dict[str, object]] = MongoClient(mongod.url)
    with client:
        found = gridfs.GridFSBucket(client[mongo.name], "files").open_download_stream(file.id)
        assert (found.filename, found.length, found.read()) == ("file.bin", len(content), content)


async def test_a_file_is_there_once_it_is_closed_and_nothing_is_left_of_one_that_is_deleted(
    mongo: Mongo, files: Files
) -> None:
    writer = files.writer("half", "half.bin")
    await writer.write(bytes(20 * CHUNK_BYTES))
    assert await files.find("half") is None
    assert await mongo.collection(CHUNKS).count_documents({}) > 0
    await files.delete("half")
    assert await mongo.collection(CHUNKS).count_documents({}) == 0
    await files.delete("half")


async def test_a_file_that_is_removed_while_it_is_read_ends_with_an_error_and_not_early(
    mongo: Mongo, files: Files
) -> None:
    file = await write(files, bytes(40 * CHUNK_BYTES))
    pieces = files.read(file, 0, file.size)
    assert len(await anext(pieces)) == CHUNK_BYTES
    await files.delete(file.id)
    with pytest.raises(FileBroken):
        async for _ in pieces:
            pass
    with pytest.raises(FileBroken):
        await read(files, file, 5, 6)
