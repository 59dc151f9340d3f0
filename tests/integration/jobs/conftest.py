"""What tests of jobs ask for."""

from __future__ import annotations

import anyio
import pytest

from promptforge.core.jobs.upkeep import Upkeep


@pytest.fixture
def no_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gives jobs back but the test, however slow the machine is."""

    async def never(self: Upkeep) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(Upkeep, "beat", never)
