"""One embedded mongod for a whole test run, and an empty database for each test that asks for one.

Making and dropping the collections and their indexes costs more than most tests do, so databases are emptied and used
again; what is not the product's is taken away first.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio

from promptforge.core.mongo import EmbeddedMongod, Index, Mongo
from promptforge.core.personal import undeclared
from promptforge.deploy.accounts import HELD
from promptforge.deploy.features import INDEXES

MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4 * 1024**3
RESTING = 4
"""A database is used again after so many others: what a test before left running cannot write into it by then."""
MOST_LOOKED_AT = 100
HOW = """Whose is it? Say so in `HELD`, beside `INDEXES` of the store that writes it (core/personal.py): a `Subject`
for the field with a person's id, a mark in its `fields` for what tells of them or what they wrote (what the erasure
makes of it), and in `plain` what tells nothing of anybody. `deploy/accounts.py` lists every store; the table in
docs/accounts.md is written by `python -m tests.support.personal`."""


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
    """The databases of one server."""

    def __init__(self, server: EmbeddedMongod) -> None:
        self._server = server
        self._used: deque[str] = deque()

    @asynccontextmanager
    async def empty(self, *, unused: bool = False) -> AsyncIterator[Mongo]:
        """A client of a database without documents; with `unused`, without collections and indexes too."""
        again = len(self._used) >= RESTING and not unused
        name = self._used.popleft() if again else f"test_{secrets.token_hex(6)}"
        mongo = await Mongo.connect(self._server.url, name)
        try:
            if again:
                await _empty(mongo)
            yield mongo
        finally:
            await _tidy(mongo)
            self._used.append(name)
            mongo.close()


async def assert_declared(mongo: Mongo) -> None:
    """Whatever a test has made the product write, each collection and each text in it is declared in some `HELD`."""
    problems = []
    for name in sorted(set(await mongo.raw.list_collection_names()) & INDEXES.keys()):
        held = HELD.get(name)
        rows = await mongo.raw[name].find({}).limit(MOST_LOOKED_AT).to_list(None)
        if held is None:
            problems.append(f"{name} is not declared")
            continue
        paths = sorted({path for row in rows for path in undeclared(held, row)})
        problems += [f"{name}.{path} is not declared" for path in paths]
    assert not problems, "\n".join([*problems, HOW])


async def _empty(mongo: Mongo) -> None:
    async def empty(name: str) -> None:
        await mongo.raw[name].delete_many({})

    async with anyio.create_task_group() as tasks:
        for name in await mongo.raw.list_collection_names():
            tasks.start_soon(empty, name)


async def _tidy(mongo: Mongo) -> None:
    """Take away collections and indexes that are not the product's; some of its own may be missing.

    Dropping the whole database instead would leave a mongod with some 400 open files, for five minutes each time.
    """
    pipeline: list[dict[str, Any]] = [{"$listCatalog": {}}, {"$match": {"db": mongo.name}}]
    for entry in await mongo.raw.client.admin.aggregate(pipeline).to_list(None):
        declared = {index.name: _spec(index) for index in INDEXES.get(entry["name"], ())}
        if entry["type"] != "collection" or entry["name"] not in INDEXES:
            await mongo.raw.drop_collection(entry["name"])
            continue
        for index in entry["md"]["indexes"]:
            spec = {key: value for key, value in index["spec"].items() if key != "v"}
            if spec["name"] != "_id_" and spec != declared.get(spec["name"]):
                await mongo.raw[entry["name"]].drop_index(spec["name"])


def _spec(index: Index) -> dict[str, Any]:
    return {"key": dict(index.keys), **index.options()}
