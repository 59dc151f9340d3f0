"""Our side of the job benchmark: no-op jobs through a real actor and handler, with everything on, in one process."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import structlog
import uvloop

from promptforge.core.context import Context
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import EmbeddedMongod, Mongo
from promptforge.core.runtime import Actor, handles
from tests.support.processes import TestProcess, job_process

CALLERS = 50
PAUSES = (0.005, 0.015)


@internal
class Nothing(Command[None]):
    """Does nothing."""

    number: int


class NothingActor(Actor):
    name = "nothing"

    def __init__(self) -> None:
        self.handled = 0
        self.at = 0.0
        self.ran = anyio.Event()

    @handles(Nothing)
    async def nothing(self, message: Nothing, context: Context) -> None:
        self.handled += 1
        self.at = time.perf_counter()
        self.ran.set()


async def _enqueue_one(process: TestProcess, number: int) -> float:
    """Calls a second from `CALLERS` callers at once; the jobs are for later, so that nobody runs them."""
    started = time.perf_counter()

    async def caller() -> None:
        for index in range(number // CALLERS):
            await process.context().enqueue(Nothing(number=index), delay_seconds=3600)

    async with anyio.create_task_group() as tasks:
        for _ in range(CALLERS):
            tasks.start_soon(caller)
    return number / (time.perf_counter() - started)


async def _bulk(process: TestProcess, number: int) -> float:
    started = time.perf_counter()
    await process.context().enqueue_many(Nothing(number=index) for index in range(number))
    return number / (time.perf_counter() - started)


async def _drain(process: TestProcess, actor: NothingActor, number: int) -> None:
    while actor.handled < number:
        actor.ran = anyio.Event()
        await actor.ran.wait()


async def _idle(enqueue: Callable[[], Context], actor: NothingActor, times: int) -> list[float]:
    """Milliseconds from before `enqueue` to the handler."""
    rng = random.Random(1)
    waits = []
    for _ in range(times):
        actor.ran = anyio.Event()
        before = time.perf_counter()
        await enqueue().enqueue(Nothing(number=0))
        await actor.ran.wait()
        waits.append((actor.at - before) * 1000)
        await anyio.sleep(rng.uniform(*PAUSES))
    return waits


async def measure(url: str, number: int) -> dict[str, object]:
    mongo = await Mongo.connect(url, "bench")
    actor = NothingActor()
    try:
        async with (
            job_process(mongo, [actor], running=False, with_feed=True) as process,
            job_process(mongo, [NothingActor()], running=False) as other,
        ):
            one = await _enqueue_one(other, 2000)
            bulk = await _bulk(process, number)
            async with anyio.create_task_group() as tasks:
                started = time.perf_counter()
                tasks.start_soon(process.runner.run)
                await _drain(process, actor, number)
                drained = number / (time.perf_counter() - started)
                await anyio.sleep(2)
                local = await _idle(process.context, actor, 200)
                across = await _idle(other.context, actor, 200)
                await process.runner.stop(5)
    finally:
        await mongo.drop()
        mongo.close()
    return {
        "name": "promptforge",
        "version": importlib.metadata.version("promptforge"),
        "durable": True,
        "enqueue_one_per_s": one,
        "bulk_per_s": bulk,
        "drain_per_s": drained,
        "idle_p50_ms": statistics.median(local),
        "idle_p99_ms": sorted(local)[-3],
        "across_p50_ms": statistics.median(across),
        "across_p99_ms": sorted(across)[-3],
    }


def main() -> None:
    """`python -m tests.bench.jobs.ours NUMBER`: one JSON line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="promptforge-bench-") as directory:
        server = EmbeddedMongod.start(Path(directory))
        try:
            result = uvloop.run(measure(server.url, int(sys.argv[1])))
        finally:
            server.stop()
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
