"""PgQueuer on PostgreSQL, measured: `pgqueuer_peer.py URL --jobs N` prints one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable
from importlib.metadata import version
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import asyncpg
import uvloop
from measuring import Runs, idle_latencies_ms, one_by_one, seconds_of
from pgqueuer import PgQueuer
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.db import AsyncpgPoolDriver

BATCH = 500


async def measure(url: str, jobs: int) -> dict[str, Any]:
    runs = Runs()
    async with asyncpg.create_pool(url, min_size=8, max_size=8) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        if await queries.schema_is_installed():
            await queries.uninstall()
        await queries.install()  # its default: all tables are logged
        durable = await pool.fetchval("SELECT current_setting('fsync') || current_setting('synchronous_commit')")

        def enqueue(number: int) -> Awaitable[object]:
            return queries.enqueue("noop", b"%d" % number)

        async def in_bulk() -> None:
            for first in range(0, jobs, BATCH):
                numbers = range(first, min(first + BATCH, jobs))
                await queries.enqueue(
                    ["noop"] * len(numbers), [b"%d" % number for number in numbers], [0] * len(numbers)
                )

        enqueue_seconds = await seconds_of(one_by_one(enqueue, jobs))
        await queries.clear_queue()
        bulk_seconds = await seconds_of(in_bulk())

        # What autovacuum does within a minute: a table that was empty until now has no statistics for the planner.
        await pool.execute("ANALYZE")

        runs.expect(jobs)
        started_at = perf_counter()
        worker = PgQueuer.from_asyncpg_pool(pool)

        @worker.entrypoint("noop")
        async def noop(job: object) -> None:
            runs.one()

        # It is woken by NOTIFY. What it did goes into its log table, which is its default.
        running = asyncio.create_task(worker.run(batch_size=BATCH))
        drain_seconds = await runs.ended_at() - started_at
        await asyncio.sleep(1)

        idle = await idle_latencies_ms(enqueue, runs)
        worker.shutdown.set()
        await asyncio.gather(running, return_exceptions=True)
    return {
        "name": "pgqueuer",
        "version": version("pgqueuer"),
        "durable": durable == "onon",
        "enqueue_one_per_s": jobs / enqueue_seconds,
        "bulk_per_s": jobs / bulk_seconds,
        "drain_per_s": jobs / drain_seconds,
        "idle_p50_ms": median(idle),
        "idle_p99_ms": quantiles(idle, n=100)[98],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--jobs", type=int, default=5000)
    arguments = parser.parse_args()
    result = uvloop.run(measure(arguments.url, arguments.jobs))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
