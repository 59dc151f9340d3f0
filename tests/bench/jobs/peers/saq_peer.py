"""SAQ on Redis, measured: `saq_peer.py URL --jobs N` prints one line of JSON."""

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
from measuring import Runs, idle_latencies_ms, is_durable, one_by_one, seconds_of
from saq import Worker
from saq.queue.redis import RedisQueue

# Each of them waits for a job in a blocking command, on a connection of its own.
CONCURRENCY = 100


async def measure(url: str, jobs: int) -> dict[str, Any]:
    runs = Runs()
    # The default of 20 operations at a time would hold the worker back.
    queue = RedisQueue.from_url(url, max_concurrent_ops=CONCURRENCY)
    await queue.redis.flushdb()
    durable = await is_durable(queue.redis)
    await queue.connect()

    async def noop(context: object, *, number: int) -> None:
        runs.one()

    def enqueue(number: int) -> Awaitable[object]:
        return queue.enqueue("noop", number=number)

    enqueue_seconds = await seconds_of(one_by_one(enqueue, jobs))

    runs.expect(jobs)
    started_at = perf_counter()
    # Results are kept for the default of ten minutes.
    worker = Worker(queue, functions=[("noop", noop)], concurrency=CONCURRENCY)
    running = asyncio.create_task(worker.start())
    drain_seconds = await runs.ended_at() - started_at
    await asyncio.sleep(1)

    idle = await idle_latencies_ms(enqueue, runs)
    await worker.stop()
    await asyncio.gather(running, return_exceptions=True)
    await queue.disconnect()
    return {
        "name": "saq",
        "version": version("saq"),
        "durable": durable,
        "enqueue_one_per_s": jobs / enqueue_seconds,
        "bulk_per_s": None,  # it has none on Redis
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
