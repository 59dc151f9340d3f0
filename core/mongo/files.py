"""Files in MongoDB, in the layout of GridFS: written and read piece by piece, in flat memory.

A file is there once it is closed: its document is written last. What was written of one that never was closed is
nobody's; so who writes files keeps the id of each before the first piece is written, and removes those that came to
nothing by it (`Files.writing` does where its writer fails); what is nobody's all the same, as after a kill, can be
swept. An id is used once.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import anyio
import structlog
from bson import Binary, ObjectId

from promptforge.core.errors import DATABASE_AWAY, NotFound
from promptforge.core.mongo.client import Mongo
from promptforge.core.mongo.collections import Document
from promptforge.core.mongo.indexes import Index

FILES = "files.files"
CHUNKS = "files.chunks"
INDEXES: dict[str, tuple[Index, ...]] = {
    FILES: (Index((("filename", 1), ("uploadDate", 1))),),
    CHUNKS: (Index((("files_id", 1), ("n", 1)), unique=True),),
}
CHUNK_BYTES = 255 * 1024
WRITTEN_TOGETHER = 8
"""Chunks in one write; so much a writer holds at most, and a reader likewise."""
REMOVED_WITHIN_SECONDS = 5.0
"""What a writer that was cut short waits at most for its pieces to be removed."""

log = structlog.get_logger(__name__)


class FileBroken(NotFound):
    """A piece of a file is missing: it was removed while it was read."""

    code = "file_removed"
    title = "The file was removed while it was read"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A closed file. `sha256` in hexadecimal."""

    id: str
    name: str
    size: int
    sha256: str
    created_at: datetime


class Files:
    def __init__(self, mongo: Mongo) -> None:
        self._files = mongo.collection(FILES)
        self._chunks = mongo.collection(CHUNKS)

    def writer(self, file_id: str, name: str) -> FileWriter:
        """Begin a file; it is there once the writer is closed."""
        return FileWriter(self, file_id, name)

    @asynccontextmanager
    async def writing(self, file_id: str, name: str) -> AsyncGenerator[FileWriter, None]:
        """As `writer`; whatever fails, or is cut short, before the end of this leaves no file and no pieces.

        What names the file may be gone by then, as with the account whose it was: nobody else would remove them.
        """
        try:
            yield self.writer(file_id, name)
        except BaseException:
            with anyio.move_on_after(REMOVED_WITHIN_SECONDS, shield=True) as scope:
                try:
                    await self.delete(file_id)
                except DATABASE_AWAY as error:
                    log.warning("files.not_removed", file_id=file_id, reason=type(error).__name__)
            if scope.cancelled_caught:
                log.warning("files.not_removed", file_id=file_id, reason="timeout")
            raise

    async def find(self, file_id: str) -> StoredFile | None:
        row = await self._files.find_one({"_id": file_id})
        if row is None:
            return None
        return StoredFile(row["_id"], row["filename"], row["length"], row["metadata"]["sha256"], row["uploadDate"])

    async def read(self, file: StoredFile, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` to before `end`, in pieces. Raises `FileBroken`, also after the first of them."""
        if start >= end:
            return
        number, last = start // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        wanted = {"files_id": file.id, "n": {"$gte": number, "$lte": last}}
        rows = self._chunks.find(wanted).sort([("n", 1)]).batch_size(WRITTEN_TOGETHER)
        async with aclosing(aiter(rows)) as found:
            async for row in found:
                data: bytes = row["data"]
                offset = number * CHUNK_BYTES
                if row["n"] != number or len(data) != min(CHUNK_BYTES, file.size - offset):
                    break
                yield data[max(start - offset, 0) : end - offset]
                number += 1
        if number <= last:
            raise FileBroken

    async def delete(self, file_id: str) -> None:
        """Also what was written of a file that was never closed; nothing where there is none."""
        await self._files.delete_one({"_id": file_id})
        await self._chunks.delete_many({"files_id": file_id})

    async def list_between(self, first: str, end: str, at_once: int) -> list[str]:
        """The ids of closed files from `first` to before `end`, in order."""
        wanted = {"_id": {"$gte": first, "$lt": end}}
        rows = self._files.find(wanted, {"_id": 1}).sort([("_id", 1)]).limit(at_once)
        return [row["_id"] for row in await rows.to_list(at_once)]

    async def list_named(self, name: str, before: datetime, at_once: int) -> AsyncGenerator[list[str], None]:
        """The ids of files of this name that were closed before then; they may be removed meanwhile."""
        wanted, found = {"filename": name, "uploadDate": {"$lt": before}}, list[str]()
        async with aclosing(aiter(self._files.find(wanted, {"_id": 1}).batch_size(at_once))) as rows:
            async for row in rows:
                found.append(row["_id"])
                if len(found) >= at_once:
                    yield found
                    found = []
        if found:
            yield found

    async def delete_unclosed(self, before: datetime) -> int:
        """Remove what was begun before then and never closed; answers of how many files.

        Where a file was removed while it was written, its first pieces are missing: the first that is left says when.
        It reads indexes only, and one piece of each such file.
        """
        pieces: list[Document] = [
            {"$sort": {"files_id": 1}},
            {"$group": {"_id": "$files_id"}},
            {"$lookup": {"from": FILES, "localField": "_id", "foreignField": "_id", "as": "closed"}},
            {"$match": {"closed": []}},
        ]
        begun, number = ObjectId.from_datetime(before), 0
        for row in await self._chunks.aggregate(pieces).to_list(None):
            piece = await self._chunks.find_one({"files_id": row["_id"]}, {"_id": 1}, sort=[("n", 1)])
            if piece is not None and piece["_id"] < begun:
                await self.delete(row["_id"])
                number += 1
        return number

    async def insert_chunks(self, rows: list[Document]) -> None:
        await self._chunks.insert_many(rows)

    async def insert_file(self, row: Document) -> None:
        await self._files.insert_one(row)


class FileWriter:
    """Takes bytes in pieces of any size. For one task at a time."""

    def __init__(self, files: Files, file_id: str, name: str) -> None:
        self._files = files
        self._id = file_id
        self._name = name
        self._hash = hashlib.sha256()
        self._rest = bytearray()
        self._ready: list[Document] = []
        self._chunks = 0
        self.size = 0

    async def write(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._rest += data
        while len(self._rest) >= CHUNK_BYTES:
            self._cut(CHUNK_BYTES)
            if len(self._ready) >= WRITTEN_TOGETHER:
                await self._flush()

    async def close(self, *, now: datetime) -> StoredFile:
        """The file is there after this."""
        if self._rest:
            self._cut(len(self._rest))
        await self._flush()
        sha256 = self._hash.hexdigest()
        row = {
            "_id": self._id,
            "filename": self._name,
            "length": self.size,
            "chunkSize": CHUNK_BYTES,
            "uploadDate": now,
            "metadata": {"sha256": sha256},
        }
        await self._files.insert_file(row)
        return StoredFile(self._id, self._name, self.size, sha256, now)

    def _cut(self, length: int) -> None:
        data = Binary(bytes(self._rest[:length]))
        del self._rest[:length]
        self._ready.append({"_id": ObjectId(), "files_id": self._id, "n": self._chunks, "data": data})
        self._chunks += 1

    async def _flush(self) -> None:
        if self._ready:
            rows, self._ready = self._ready, []
            await self._files.insert_chunks(rows)
