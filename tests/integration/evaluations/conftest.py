"""A studio per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.core.mongo import Mongo
from tests.integration.evaluations.studio import Studio, open_studio


@pytest.fixture
async def studio(mongo: Mongo) -> AsyncIterator[Studio]:
    async with open_studio(mongo) as opened:
        yield opened
