"""`make bench`: every benchmark, each beside its baseline. `python -m tests.bench.run asks` runs one of them.

`events=1000000` runs one with another number, `search=browse,hybrid` the lines of one whose names have such words.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.bench import (
    analytics,
    asks,
    duplicates,
    edge,
    events,
    exports,
    ledger,
    opening,
    sealed,
    search,
    search_quality,
    serving,
    streams,
    versions,
    webhooks,
)

BENCHMARKS: dict[str, Callable[..., None]] = {
    "analytics": analytics.run,
    "asks": asks.run,
    "duplicates": duplicates.run,
    "edge": edge.run,
    "events": events.run,
    "exports": exports.run,
    "ledger": ledger.run,
    "opening": opening.run,
    "sealed": sealed.run,
    "search": search.run,
    "search_quality": search_quality.run,
    "serving": serving.run,
    "streams": streams.run,
    "versions": versions.run,
    "webhooks": webhooks.run,
}


def main() -> None:
    """Run those named on the command line, or all."""
    for asked in sys.argv[1:] or BENCHMARKS:
        name, _, given = asked.partition("=")
        BENCHMARKS[name](*([int(given) if given.isdecimal() else given] if given else []))


if __name__ == "__main__":  # a benchmark may start processes that import this
    main()
