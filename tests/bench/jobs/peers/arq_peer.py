"""arq on Redis, measured: `arq_peer.py URL --jobs N` prints one line of JSON."""

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
from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker
from measuring import Runs, idle_latencies_ms, is_durable, one_by_one, seconds_of

# A worker finds new jobs by polling, by default twice a second; every poll is a command to Redis, also when idle.
POLL_SECONDS = 0.005
MAX_JOBS = 200


async def measure(url: str, jobs: int) -> dict[str, Any]:
    runs = Runs()
    settings = RedisSettings.from_dsn(url)
    redis = await create_pool(settings)
    await redis.flushdb()
    durable = await is_durable(redis)

    async def noop(context: dict[str, Any], number: int) -> None:
        runs.one()

    def enqueue(number: int) -> Awaitable[object]:
        return redis.enqueue_job("noop", number)

    enqueue_seconds = await seconds_of(one_by_one(enqueue, jobs))

    runs.expect(jobs)
    started_at = perf_counter()
    worker = Worker(
        functions=[func(noop, name="noop")],
        redis_settings=settings,
        handle_signals=False,
        max_jobs=MAX_JOBS,
        poll_delay=POLL_SECONDS,
        keep_result=0,  # off; the default is an hour
        log_results=False,
    )
    running = asyncio.create_task(worker.async_run())
    drain_seconds = await runs.ended_at() - started_at
    await asyncio.sleep(1)

    idle = await idle_latencies_ms(enqueue, runs)
    await worker.close()
    await asyncio.gather(running, return_exceptions=True)
    await redis.aclose()
    return {
        "name": "arq",
        "version": version("arq"),
        "durable": durable,
        "enqueue_one_per_s": jobs / enqueue_seconds,
        "bulk_per_s": None,  # it has none
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
