"""Two processes per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.core.mongo import Mongo
from tests.integration.marketplace.branches import Branches, open_branches
from tests.integration.notifications.post import Post, open_post


@pytest.fixture
async def branches(mongo: Mongo) -> AsyncIterator[Branches]:
    async with open_branches(mongo) as opened:
        yield opened


@pytest.fixture
async def post(mongo: Mongo) -> AsyncIterator[Post]:
    async with open_post(mongo) as opened:
        yield opened
