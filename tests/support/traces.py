"""Where a database holds a text: in any field of any collection, and in files, also where they are compressed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import bson
import pyarrow.parquet

from promptforge.core.mongo import Mongo

DEEPEST = 3
"""Zip files in zip files."""


async def traces(mongo: Mongo, mark: str) -> set[tuple[str, str]]:
    """Collection and field of whatever holds the mark, in any spelling of its letters; of a file `files`, and its name.

    Pieces of a file are put together first: a mark may be cut in two.
    """
    found = set[tuple[str, str]]()
    pieces: dict[str, list[tuple[int, bytes]]] = {}
    for name in await mongo.raw.list_collection_names():
        async for row in mongo.raw[name].find({}):
            found |= {(name, field) for field, value in row.items() if _holds(value, mark)}
            if name == "files.chunks":
                pieces.setdefault(row["files_id"], []).append((row["n"], row["data"]))
    for file_id, parts in pieces.items():
        whole = b"".join(data for _, data in sorted(parts))
        if any(mark.encode() in text.lower() for text in _unfolded(whole)):
            file = await mongo.raw["files.files"].find_one({"_id": file_id})
            found.add(("files", "nobody's" if file is None else file["filename"]))
    return found


def _holds(value: Any, mark: str) -> bool:  # Any: BSON values
    return mark.encode() in bson.encode({"": value}).lower()


def _unfolded(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bytes themselves, and what is in them."""
    yield data
    if data.startswith(b"PK") and depth < DEEPEST:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                yield from _unfolded(archive.read(member), depth + 1)
    elif data.startswith(b"PAR1"):
        yield repr(pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()).encode()
