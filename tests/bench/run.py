"""`make bench`: every benchmark, each beside its baseline. `python -m tests.bench.run asks` runs one of them."""

from __future__ import annotations

import sys

from tests.bench import (
    analytics,
    asks,
    duplicates,
    edge,
    opening,
    sealed,
    search,
    search_quality,
    serving,
    versions,
    webhooks,
)

BENCHMARKS = {
    "analytics": analytics.run,
    "asks": asks.run,
    "duplicates": duplicates.run,
    "edge": edge.run,
    "opening": opening.run,
    "sealed": sealed.run,
    "search": search.run,
    "search_quality": search_quality.run,
    "serving": serving.run,
    "versions": versions.run,
    "webhooks": webhooks.run,
}


def main() -> None:
    """Run those named on the command line, or all."""
    for name in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[name]()


main()
