"""A short round of tests/chaos/test_money.py: the service is killed where money is on its way, and nothing is lost.

`MONEY_SEED` says where; without it each run has another one.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.support.trade import reckoning
from tests.support.trade.kills import Dying, leading_to, points
from tests.support.trade.market import open_market

SEED = int(os.environ.get("MONEY_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


@pytest.mark.timeout(600)
def test_money_survives_a_few_kills(tmp_path: Path) -> None:
    print(f"MONEY_SEED={SEED}")  # noqa: T201  # shown where it fails
    rng = random.Random(SEED)
    with open_market(tmp_path, seed=SEED, sellers=1, buyers=2, listings=2) as market:
        dying = Dying(market)
        with dying.under_load(threads=2):
            dying.round([*rng.sample(points(), 2), rng.uniform(0.1, 1)])
        dying.quiet()
        reckoning.check(market)


def test_every_point_of_money_has_something_that_leads_to_it() -> None:
    assert [point for point in points() if not leading_to(point)] == []
    assert {"payout.after_call", "commissions.given_up", "account.closed"} <= set(points())
