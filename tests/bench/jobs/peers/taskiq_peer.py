"""taskiq on Redis, measured: `taskiq_peer.py URL --jobs N` prints one line of JSON. The broker is the one on streams,
which acknowledges; `--broker list` takes the one that pops jobs off a list and loses those in hand when it dies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from importlib.metadata import version
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import uvloop
from measuring import Runs, idle_latencies_ms, one_by_one, seconds_of
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisStreamBroker
from taskiq_redis.redis_broker import BaseRedisBroker

CONCURRENCY = 500


async def ask(broker: BaseRedisBroker, *command: str) -> Any:  # Redis answers with what it likes
    connection = await broker.connection_pool.get_connection()
    try:
        await connection.send_command(*command)
        return await connection.read_response()
    finally:
        await broker.connection_pool.release(connection)


async def is_durable(broker: BaseRedisBroker) -> bool:
    """Does this Redis answer a write only when the write is on the disk?"""
    only = await ask(broker, "CONFIG", "GET", "appendonly")
    fsync = await ask(broker, "CONFIG", "GET", "appendfsync")
    return only[1] == b"yes" and fsync[1] == b"always"


async def measure(url: str, jobs: int, broker_name: str) -> dict[str, Any]:
    runs = Runs()
    # Results are off, which is the default.
    broker = RedisStreamBroker(url, xread_count=CONCURRENCY) if broker_name == "stream" else ListQueueBroker(url)
    await ask(broker, "FLUSHDB")
    durable = await is_durable(broker)

    @broker.task(task_name="noop")
    async def noop(number: int) -> None:
        runs.one()

    await broker.startup()

    enqueue_seconds = await seconds_of(one_by_one(noop.kiq, jobs))

    runs.expect(jobs)
    started_at = perf_counter()
    running = asyncio.create_task(
        run_receiver_task(broker, max_async_tasks=CONCURRENCY, max_prefetch=CONCURRENCY, validate_params=False)
    )
    drain_seconds = await runs.ended_at() - started_at
    await asyncio.sleep(1)

    idle = await idle_latencies_ms(noop.kiq, runs)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await broker.shutdown()
    return {
        "name": f"taskiq ({broker_name})",
        "version": f"{version('taskiq')}, taskiq-redis {version('taskiq-redis')}",
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
    parser.add_argument("--broker", choices=["stream", "list"], default="stream")
    arguments = parser.parse_args()
    result = uvloop.run(measure(arguments.url, arguments.jobs, arguments.broker))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
