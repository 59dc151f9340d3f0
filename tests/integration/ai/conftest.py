"""A workshop per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.core.mongo import Mongo
from tests.integration.ai.workshop import Workshop, open_workshop


@pytest.fixture
async def workshop(mongo: Mongo) -> AsyncIterator[Workshop]:
    async with open_workshop(mongo) as opened:
        yield opened
