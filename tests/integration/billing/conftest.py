"""A bank per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, open_bank
from tests.integration.billing.trade import Trade
from tests.support.processes import SteppedClock


@pytest.fixture
async def bank(mongo: Mongo) -> AsyncIterator[Bank]:
    async with open_bank(mongo) as opened:
        yield opened


@pytest.fixture
async def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def stepped_bank(mongo: Mongo, clock: SteppedClock) -> AsyncIterator[Bank]:
    """Its time passes, and its jobs run, when the test says so."""
    async with open_bank(mongo, clock=clock, running=False) as opened:
        yield opened


@pytest.fixture
async def trade(stepped_bank: Bank, clock: SteppedClock) -> Trade:
    return Trade(stepped_bank, clock, await stepped_bank.user(), await stepped_bank.user())
