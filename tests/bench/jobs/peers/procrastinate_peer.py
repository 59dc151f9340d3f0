"""Procrastinate on PostgreSQL, measured: `procrastinate_peer.py URL --jobs N` prints one line of JSON."""

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

import uvloop
from measuring import Runs, idle_latencies_ms, one_by_one, seconds_of
from procrastinate import App, PsycopgConnector

BATCH = 500
CONCURRENCY = 100


async def measure(url: str, jobs: int) -> dict[str, Any]:
    runs = Runs()
    app = App(connector=PsycopgConnector(conninfo=url, min_size=16, max_size=16))

    @app.task(name="noop")
    async def noop(number: int) -> None:
        runs.one()

    def enqueue(number: int) -> Awaitable[object]:
        return noop.defer_async(number=number)

    async def in_bulk() -> None:
        for first in range(0, jobs, BATCH):
            await noop.batch_defer_async(*({"number": number} for number in range(first, min(first + BATCH, jobs))))

    async with app.open_async():
        await app.connector.execute_query_async("DROP SCHEMA public CASCADE")
        await app.connector.execute_query_async("CREATE SCHEMA public")
        await app.schema_manager.apply_schema_async()
        row = await app.connector.execute_query_one_async(
            "SELECT current_setting('fsync') || current_setting('synchronous_commit') AS durable"
        )

        enqueue_seconds = await seconds_of(one_by_one(enqueue, jobs))
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
        bulk_seconds = await seconds_of(in_bulk())

        # What autovacuum does within a minute: a table that was empty until now has no statistics for the planner.
        await app.connector.execute_query_async("ANALYZE")

        runs.expect(jobs)
        started_at = perf_counter()
        # It is woken by NOTIFY; jobs that are done are deleted (the default is to keep them, which is slower).
        running = asyncio.create_task(
            app.run_worker_async(concurrency=CONCURRENCY, delete_jobs="always", install_signal_handlers=False)
        )
        drain_seconds = await runs.ended_at() - started_at
        await asyncio.sleep(1)

        idle = await idle_latencies_ms(enqueue, runs)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return {
        "name": "procrastinate",
        "version": version("procrastinate"),
        "durable": row["durable"] == "onon",
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
