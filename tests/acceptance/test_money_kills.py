"""A short round of tests/chaos/test_money.py: the service is killed where money is on its way, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.killing import open_market

KILLS = ("payout.after_call", "event.applied_before_finish")


@pytest.mark.timeout(300)
def test_money_survives_a_few_kills(tmp_path: Path) -> None:
    with open_market(tmp_path, seed=1, buyers=3, listings=6) as market:
        with market.under_load(threads=3):
            market.round(KILLS)
        market.quiet()
        market.check()
