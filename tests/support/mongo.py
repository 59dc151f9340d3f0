"""One embedded mongod for a whole test run, and a database of its own for each test that asks for one."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from promptforge.core.mongo import EmbeddedMongod, Mongo


@contextmanager
def shared_mongod() -> Iterator[EmbeddedMongod]:
    """Start a server in a temporary directory (about 300 MB of journal) and stop it in the end."""
    with tempfile.TemporaryDirectory(prefix="promptforge-tests-") as directory:
        server = EmbeddedMongod.start(Path(directory))
        try:
            yield server
        finally:
            server.stop()


@asynccontextmanager
async def fresh_database(server: EmbeddedMongod) -> AsyncIterator[Mongo]:
    """A client of an empty database, dropped afterwards."""
    mongo = await Mongo.connect(server.url, f"test_{secrets.token_hex(6)}")
    try:
        yield mongo
    finally:
        await mongo.drop()
        mongo.close()
