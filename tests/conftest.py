"""Fixtures of every kind of test: a shared mongod, and an empty database for each test that asks for one."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator

import hypothesis
import pytest
import structlog

from promptforge.core.mongo import EmbeddedMongod, Mongo
from tests.support.mongo import Databases, shared_mongod
from tests.support.order import longest_first
from tests.support.starting import forking

# Unless told otherwise, structlog draws each traceback with colours and all variables, which takes half a second.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

# What collecting makes stays: looking through it again and again would be a sixth of what it costs.
gc.disable()

# How long an example takes says more about who else is on the machine.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: longest_first(item.path))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # as the service does
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def forked() -> Iterator[None]:
    """Services that tests start need no imports of their own."""
    with forking():
        yield


@pytest.fixture(scope="session")
def mongod() -> Iterator[EmbeddedMongod]:
    with shared_mongod() as server:
        yield server


@pytest.fixture(scope="session")
def databases(mongod: EmbeddedMongod) -> Iterator[Databases]:
    made = Databases(mongod)
    yield made
    made.close()


@pytest.fixture
def anyio_backend() -> str:
    """MongoDB's driver is asyncio's; tests of the runtime run on trio as well and say so themselves."""
    return "asyncio"


@pytest.fixture
async def mongo(databases: Databases, request: pytest.FixtureRequest) -> AsyncIterator[Mongo]:
    """Without documents; where the test is marked `unused_database`, without collections and indexes too."""
    unused = request.node.get_closest_marker("unused_database") is not None
    async with databases.empty(unused=unused) as database:
        yield database
        await databases.assert_declared(database)
