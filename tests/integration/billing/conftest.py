"""A bank per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, open_bank


@pytest.fixture
async def bank(mongo: Mongo) -> AsyncIterator[Bank]:
    async with open_bank(mongo) as opened:
        yield opened
