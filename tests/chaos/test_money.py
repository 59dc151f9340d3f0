"""Sales, top-ups, refunds and payouts under kill -9, at each named point and at random: nothing lost, nothing twice.

`MONEY_KILLS` says how many kills (200), `MONEY_SEED` which ones.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from tests.support.killing import POINTS, Kill, open_market

KILLS = int(os.environ.get("MONEY_KILLS", "200"))
SEED = int(os.environ.get("MONEY_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


def kills() -> list[Kill]:
    """Each point in turn, and for every three of those one at a random time."""
    rng = random.Random(SEED)
    wanted: list[Kill] = []
    while len(wanted) < KILLS:
        points: list[Kill] = list(POINTS)
        rng.shuffle(points)
        wanted += [*points, *(rng.uniform(0.1, 3) for _ in range(len(points) // 3))]
    return wanted[:KILLS]


@pytest.mark.timeout(4 * 3600)
def test_money_survives_every_kill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\nMONEY_KILLS={KILLS} MONEY_SEED={SEED}\n")
    with open_market(tmp_path, seed=SEED, buyers=20, listings=KILLS + 20) as market:
        with market.under_load():
            reached = market.round(kills())
        market.quiet()
        market.check()
    with capsys.disabled():
        sys.stdout.write(f"{KILLS} kills, at these points among others: {', '.join(sorted(reached))}\n")
    if len(POINTS) * 3 <= KILLS:
        assert reached == set(POINTS)
