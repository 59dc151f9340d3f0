"""What a long backlog costs: the time of a claim and the memory of the process, from a thousand to a million jobs."""

from __future__ import annotations

import json
import logging
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import anyio
import structlog
import uvloop

from promptforge.core.mongo import EmbeddedMongod, Mongo
from tests.bench.jobs.ours import Nothing, NothingActor
from tests.support.processes import TestProcess, job_process

SIZES = (1_000, 10_000, 100_000, 1_000_000)
CLAIM = 100
ROUNDS = 15
SETTLE_SECONDS = 20


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def _claim_milliseconds(process: TestProcess) -> float:
    """The median of some claims; what was claimed is handed back, so that the backlog stays as long as it is."""
    times = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        jobs = await process.claim(CLAIM)
        times.append((time.perf_counter() - before) * 1000)
        await process.store.endings.hand_back(jobs)
    return statistics.median(times)


async def measure(url: str) -> list[tuple[str, float, float]]:
    mongo = await Mongo.connect(url, "backlog")
    rows = []
    async with job_process(mongo, [NothingActor()], running=False) as process:
        stored = 0
        for size in SIZES:
            await process.context().enqueue_many(Nothing(number=number) for number in range(size - stored))
            stored = size
            await anyio.sleep(SETTLE_SECONDS)  # what was just stored is still being written to its place
            rows.append((f"{size:,}", await _claim_milliseconds(process), _resident_megabytes()))
    mongo.close()
    return rows


def main() -> None:
    """`python -m tests.bench.jobs.backlog`"""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="promptforge-bench-") as directory:
        server = EmbeddedMongod.start(Path(directory))
        try:
            rows = uvloop.run(measure(server.url))
        finally:
            server.stop()
    sys.stdout.write(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
