"""One embedded mongod for a whole test run, and an empty database for each test that asks for one.

Making and dropping the collections and their indexes costs more than most tests do, so databases have all of the
product's from the first, and are emptied and used again; what is not the product's is taken away before. Connections
are used again as well: to open one, and to prove to be somebody on it, costs as much as dozens of small commands.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient

from promptforge.core.mongo import EmbeddedMongod, Index, Mongo, ensure_indexes
from promptforge.core.mongo import client as client_module
from promptforge.core.mongo.indexes import Declared
from promptforge.core.personal import undeclared
from promptforge.deploy.accounts import HELD
from promptforge.deploy.features import INDEXES

MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4 * 1024**3
RESTING = 4
"""A database is used again after so many others: what a test before left running cannot write into it by then."""
MOST_LOOKED_AT = 100
PATIENCE_SECONDS = 60.0
"""The server is there: where it does not answer, the machine stands still."""
HOW = """Whose is it? Say so in `HELD`, beside `INDEXES` of the store that writes it (core/personal.py): a `Subject`
for the field with a person's id, a mark in its `fields` for what tells of them or what they wrote (what the erasure
makes of it), and in `plain` what tells nothing of anybody. `deploy/accounts.py` lists every store; the table in
docs/accounts.md is written by `python -m tests.support.personal`."""

_complete: set[str] = set()
"""Names of databases in which there is all that `INDEXES` declares."""
_tidied: dict[str, bytes] = {}
"""What the catalog says of each database that has all of that, and nothing else."""


def _quick_directory() -> Path | None:
    """Commits wait for the disk; where there is room in memory they need not. None: where temporary files are."""
    try:
        return MEMORY if shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES else None
    except OSError:
        return None


@contextmanager
def shared_mongod() -> Iterator[EmbeddedMongod]:
    """Start a server in a temporary directory (about 300 MB of journal) and stop it in the end."""
    with tempfile.TemporaryDirectory(prefix="promptforge-tests-", dir=_quick_directory()) as directory:
        server = EmbeddedMongod.start(Path(directory))
        try:
            yield server
        finally:
            server.stop()


class Databases:
    """The databases of one server, by the connections of one client, which `close` closes."""

    def __init__(self, server: EmbeddedMongod) -> None:
        self._server = server
        self._used: deque[str] = deque()
        self._connected: Mongo | None = None
        self._with_documents: dict[str, list[str]] = {}

    def close(self) -> None:
        if self._connected is not None:
            self._connected.close()

    @asynccontextmanager
    async def empty(self, *, unused: bool = False) -> AsyncIterator[Mongo]:
        """A client of a database without documents; with `unused`, without collections and indexes too."""
        again = len(self._used) >= RESTING and not unused
        name = self._used.popleft() if again else f"test_{secrets.token_hex(6)}"
        mongo = await self._open(name)
        try:
            if again and (await mongo.raw.command("dbStats"))["objects"]:
                await _empty(mongo, await _with_documents(mongo))
            if not unused and name not in _complete:
                await ensure_indexes(mongo, INDEXES)
                _complete.add(name)
            yield mongo
        finally:
            if unused:
                await mongo.drop()  # the next that asks would have to make all indexes
            else:
                await self._put_back(mongo)

    async def _open(self, name: str) -> Mongo:
        """A client of the running test's event loop; Motor asks PyMongo's, which knows no loops: that one is shared."""
        if self._connected is None:
            with patch.multiple(client_module, RUN_SECONDS=PATIENCE_SECONDS, CONNECT_SECONDS=PATIENCE_SECONDS):
                self._connected = await Mongo.connect(self._server.url, "admin")
        shared = self._connected.raw.client
        client = AsyncIOMotorClient.__new__(AsyncIOMotorClient)
        client.__dict__.update(shared.__dict__, _io_loop=None)
        return Mongo(client, name)

    async def assert_declared(self, mongo: Mongo) -> None:
        """Whatever a test has made the product write: each collection and each text is declared in some `HELD`."""
        names = self._with_documents[mongo.name] = await _with_documents(mongo)
        problems = []
        for name in sorted(set(names) & INDEXES.keys()):
            held = HELD.get(name)
            rows = await mongo.raw[name].find({}).limit(MOST_LOOKED_AT).to_list(None)
            if held is None:
                problems.append(f"{name} is not declared")
                continue
            paths = sorted({path for row in rows for path in undeclared(held, row)})
            problems += [f"{name}.{path} is not declared" for path in paths]
        assert not problems, "\n".join([*problems, HOW])

    async def _put_back(self, mongo: Mongo) -> None:
        await _empty(mongo, self._with_documents.pop(mongo.name, ()))
        if not await _tidy(mongo):
            _complete.discard(mongo.name)
        self._used.append(mongo.name)


async def with_indexes(mongo: Mongo, declared: Declared) -> None:
    """`ensure_indexes`, for set-ups: what a database of `Databases` has had from the first is not asked for again."""
    if mongo.name in _complete:
        declared = {name: indexes for name, indexes in declared.items() if not _has(name, indexes)}
    await ensure_indexes(mongo, declared)


def _has(name: str, indexes: Sequence[Index]) -> bool:
    return name in INDEXES and set(indexes) <= set(INDEXES[name])


async def _empty(mongo: Mongo, names: Iterable[str]) -> None:
    async def empty(name: str) -> None:
        await mongo.raw[name].delete_many({})

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(empty, name)


async def _with_documents(mongo: Mongo) -> list[str]:
    """The collections that hold any; one question, for asking each of them is most of what a small test costs."""
    names = list(INDEXES) if mongo.name in _complete else await mongo.raw.list_collection_names()

    def any_of(name: str) -> list[dict[str, Any]]:
        return [{"$limit": 1}, {"$project": {"_id": 0, "name": {"$literal": name}}}]

    if not names:
        return []
    others = [{"$unionWith": {"coll": name, "pipeline": any_of(name)}} for name in names[1:]]
    found = mongo.raw[names[0]].aggregate([*any_of(names[0]), *others])
    return [row["name"] async for row in found]


async def _tidy(mongo: Mongo) -> bool:
    """Take away collections and indexes that are not the product's; whether all of its own are there.

    Dropping the whole database instead would leave a mongod with some 400 open files, for five minutes each time.
    """
    told: dict[str, Any] = {"_id": 0, "name": 1, "type": 1, "md.indexes.spec": 1}
    pipeline: list[dict[str, Any]] = [{"$listCatalog": {}}, {"$match": {"db": mongo.name}}, {"$project": told}]
    admin: Any = mongo.raw.client.get_database("admin", codec_options=CodecOptions(RawBSONDocument))  # Any: of bytes
    entries = [entry.raw for entry in await admin.aggregate(pipeline).to_list(None)]
    catalog = b"".join(entries)
    if catalog == _tidied.get(mongo.name):
        return True
    tidy = True
    missing = {(name, index.name) for name, indexes in INDEXES.items() for index in indexes}
    missing |= {(name, "_id_") for name in INDEXES}
    for entry in map(bson.decode, entries):
        declared = {index.name: _spec(index) for index in INDEXES.get(entry["name"], ())}
        if entry["type"] != "collection" or entry["name"] not in INDEXES:
            await mongo.raw.drop_collection(entry["name"])
            tidy = False
            continue
        for index in entry["md"]["indexes"]:
            spec = {key: value for key, value in index["spec"].items() if key != "v"}
            if spec["name"] != "_id_" and spec != declared.get(spec["name"]):
                await mongo.raw[entry["name"]].drop_index(spec["name"])
                tidy = False
            else:
                missing.discard((entry["name"], spec["name"]))
    if tidy and not missing:
        _tidied[mongo.name] = catalog
    return not missing


def _spec(index: Index) -> dict[str, Any]:
    return {"key": dict(index.keys), **index.options()}
