"""Two processes per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.core.mongo import Mongo
from tests.integration.marketplace.branches import Branches, open_branches
from tests.support.processes import SteppedClock


@pytest.fixture
async def branches(mongo: Mongo) -> AsyncIterator[Branches]:
    async with open_branches(mongo) as opened:
        yield opened


@pytest.fixture
async def clock(branches: Branches) -> SteppedClock:
    """Of both processes; it moves when the test says so."""
    stepped = SteppedClock()
    branches.here.process.system.clock = branches.there.process.system.clock = stepped
    return stepped
