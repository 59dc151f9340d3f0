from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from promptforge.core.mongo import Mongo
from promptforge.deploy.features import INDEXES, build_actors
from promptforge.deploy.settings import Settings
from tests.support.market import Market
from tests.support.mongo import with_indexes
from tests.support.processes import job_process

SETTINGS = Settings(stripe_secret_key=SecretStr("sk_test_unused"))


@pytest.fixture
async def market(mongo: Mongo) -> AsyncIterator[Market]:
    """Every feature on an empty database; jobs run when the test says so."""
    await with_indexes(mongo, INDEXES)
    async with job_process(
        mongo,
        lambda store: build_actors(mongo, store, SETTINGS),
        running=False,
    ) as process:
        yield Market(process)
