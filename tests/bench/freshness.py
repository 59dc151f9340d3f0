"""How soon what one process has committed is found by three others, each with an index of its own.

A writer beside the service gives a listing a title with a word that nobody has used, 40 times, and three processes that
serve are asked for that word every few milliseconds until each has found it. The delay is from just before the write is
sent, its commit included, to the answer with the listing in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from statistics import quantiles

from tests.bench.market import LISTINGS, Database
from tests.bench.table import Row, print_rows
from tests.support.running import Person, RunningService, eventually

CHANGES, BETWEEN_SECONDS, LOOK_SECONDS = 40, 0.5, 0.005
MOST_SECONDS = 60.0
PROCESSES = 3


def measure(running: Sequence[RunningService], client: Database) -> None:
    """Those that are missing are started, and are ready after a minute or two."""
    with _all(running) as services, ThreadPoolExecutor(PROCESSES) as pool:
        people = [one.person("") for one in services]
        listings, mark = client["promptforge"]["marketplace_listings"], f"{time.time_ns():x}"
        kept = {row["_id"]: row["title"] for row in listings.find({}, {"title": 1}).limit(CHANGES)}
        delays: list[list[float]] = []
        for number, listing_id in enumerate(kept):
            word = "zq" + "".join(chr(ord("a") + int(digit, 16)) for digit in f"{mark}{number:x}")
            begun = time.monotonic()
            changed = {"title": f"{kept[listing_id]} {word}", "updated_at": datetime.now(UTC)}
            looks = [pool.submit(partial(_found_at, one, word, listing_id)) for one in people]
            listings.update_one({"_id": listing_id}, {"$set": changed})
            delays.append([(look.result() - begun) * 1000 for look in looks])
            time.sleep(BETWEEN_SECONDS)
        for listing_id, title in kept.items():
            listings.update_one({"_id": listing_id}, {"$set": {"title": title}})
    print_rows(
        f"{CHANGES} changes among {LISTINGS:,} listings, from the commit to being found in {PROCESSES} processes",
        [*_rows("each", [one for each in delays for one in each]), *_rows("the last", [max(each) for each in delays])],
    )


def _rows(name: str, delays: Sequence[float]) -> list[Row]:
    cut = quantiles(delays, n=100)
    return [
        Row(f"{name}, p50", [cut[49]], "ms"),
        Row(f"{name}, p95", [cut[94]], "ms", budget="≤ 2,000 ms"),
        Row(f"{name}, the slowest", [max(delays)], "ms"),
    ]


@contextmanager
def _all(running: Sequence[RunningService]) -> Iterator[list[RunningService]]:
    """All processes, once each has its index."""
    with ExitStack() as stack:
        services = list(running)
        for _ in range(PROCESSES - len(running)):
            other = RunningService(running[0].directory, LOG_LEVEL="warning")
            other.start()
            stack.callback(other.terminate)
            services.append(other)
        for one in services:
            eventually(partial(_is_ready, one.person("")), seconds=900)
        yield services


def _is_ready(person: Person) -> bool:
    state: str = person.get("/search?q=anything&mode=text")["state"]
    return state == "ready"


def _found_at(person: Person, word: str, listing_id: str) -> float:
    until = time.monotonic() + MOST_SECONDS
    while True:
        items = person.get(f"/search?q={word}&mode=text&facets=false")["items"]
        at = time.monotonic()
        if any(item["id"] == listing_id for item in items):
            return at
        if at > until:
            raise RuntimeError(f"{word} was not found in {MOST_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
