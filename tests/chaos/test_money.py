"""Everything that moves money under kill -9, at each named point and at random: nothing is lost, nothing happens twice.

`MONEY_KILLS` says how many kills (200), `MONEY_SEED` which ones, `MONEY_MINUTES` when it is enough all the same.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from tests.support.trade import reckoning
from tests.support.trade.kills import LOAD, Dying, Kill, points
from tests.support.trade.market import open_market

KILLS = int(os.environ.get("MONEY_KILLS", "200"))
MINUTES = float(os.environ.get("MONEY_MINUTES", "300"))
SEED = int(os.environ.get("MONEY_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


def kills() -> list[Kill]:
    """Each point in turn, and for every three of those one at a random time."""
    rng = random.Random(SEED)
    wanted: list[Kill] = []
    while len(wanted) < KILLS:
        some: list[Kill] = list(points())
        rng.shuffle(some)
        wanted += [*some, *(rng.uniform(0.1, 3) for _ in range(len(some) // 3))]
    return wanted[:KILLS]


def _tell(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


@pytest.mark.timeout(6 * 3600)
def test_money_survives_every_kill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    _tell(f"\nMONEY_KILLS={KILLS} MONEY_SEED={SEED}", capsys)
    with open_market(tmp_path, seed=SEED, sellers=2, buyers=6, listings=4) as market:
        dying = Dying(market, at_once=0.8, told=lambda line: _tell(line, capsys))
        with dying.under_load():
            dying.round(kills(), seconds=MINUTES * 60)
        dying.quiet()
        reckoning.check(market)
    seen = ", ".join(f"{point} {times}" for point, times in sorted(dying.seen.items()))
    done = ", ".join(f"{operation.__name__} {market.done[operation.__name__]}" for operation in LOAD)
    _tell(f"{dying.kills} kills in {time.monotonic() - began:.0f} s, at: {seen}\nDone: {done}", capsys)
    if len(points()) * 3 <= dying.kills:
        assert dying.seen.keys() == set(points()), set(points()) - dying.seen.keys()
