"""Looking for a sealed text in an output: `python -m tests.bench.run sealed`."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path

from promptforge.actors.marketplace.sealed.matching import Sealed, compare
from tests.bench.table import Row, print_rows

DOCS = Path(__file__).parents[2] / "docs"


def run() -> None:
    """CPU time of one comparison, twenty times."""
    prose = (DOCS / "money.md").read_text().encode("ascii", "ignore").decode()
    sealed = Sealed((prose[:3000],))
    other = (DOCS / "jobs.md").read_text()
    works: list[tuple[str, Callable[[], object]]] = [
        ("preparing 3,000 characters", lambda: Sealed((prose[:3000],))),
        ("an answer of 1,000 characters", lambda: compare(sealed, other[:1000])),
        ("an answer of 4,000 characters", lambda: compare(sealed, other[:4000])),
        ("an answer of 16,000 characters", lambda: compare(sealed, (other * 2)[:16_000])),
        ("4,000 characters of base64", lambda: compare(sealed, base64.b64encode(prose[:3000].encode()).decode())),
        ("the text itself", lambda: compare(sealed, prose[:3000])),
    ]
    print_rows("CPU time of a sealed text in an output", [Row(name, _times(work), "ms") for name, work in works])


def _times(work: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(20):
        begun = time.process_time()
        work()
        times.append((time.process_time() - begun) * 1000)
    return times
