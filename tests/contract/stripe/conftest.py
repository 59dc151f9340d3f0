from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.stripe_sandbox import Till, open_till


@pytest.fixture
async def till() -> AsyncIterator[Till]:
    """A sandbox of its own for each test."""
    async with open_till() as opened:
        yield opened
