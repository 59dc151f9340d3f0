"""Two processes per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.core.mongo import Mongo
from tests.integration.marketplace.branches import Branches, open_branches
from tests.integration.packages.kits import Kit, drafted


@pytest.fixture
async def branches(mongo: Mongo) -> AsyncIterator[Branches]:
    async with open_branches(mongo) as opened:
        yield opened


@pytest.fixture
async def kit(branches: Branches) -> Kit:
    return await drafted(branches)
