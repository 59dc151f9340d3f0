"""Fixtures of every kind of test: a shared mongod, and an empty database for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from promptforge.core.mongo import EmbeddedMongod, Mongo
from tests.support.mongo import fresh_database, shared_mongod


@pytest.fixture(scope="session")
def mongod() -> Iterator[EmbeddedMongod]:
    with shared_mongod() as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    """MongoDB's driver is asyncio's; tests of the runtime run on trio as well and say so themselves."""
    return "asyncio"


@pytest.fixture
async def mongo(mongod: EmbeddedMongod) -> AsyncIterator[Mongo]:
    async with fresh_database(mongod) as database:
        yield database
