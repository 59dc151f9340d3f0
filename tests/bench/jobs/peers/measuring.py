"""What every peer measures alike. A peer runs as a script in an environment of its own, with this beside it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

# A measurement that has not ended by then has failed.
PATIENCE_SECONDS = 600
IDLE_JOBS = 200


class Runs:
    """Counts the handlers that ran, and notes when the last expected one did."""

    def __init__(self) -> None:
        self._missing = 0
        self._ended_at = 0.0
        self._ended = asyncio.Event()

    def expect(self, jobs: int) -> None:
        self._missing = jobs
        self._ended.clear()

    def one(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._ended_at = perf_counter()
            self._ended.set()

    async def ended_at(self) -> float:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._ended.wait()
        return self._ended_at


async def seconds_of(work: Awaitable[object]) -> float:
    started_at = perf_counter()
    await work
    return perf_counter() - started_at


async def one_by_one(enqueue: Callable[[int], Awaitable[object]], jobs: int) -> None:
    for number in range(jobs):
        await enqueue(number)


async def idle_latencies_ms(enqueue: Callable[[int], Awaitable[object]], runs: Runs) -> list[float]:
    """From before a single job is enqueued until its handler runs. The pauses vary, or they would fall into step with
    whoever polls.
    """
    pause = random.Random(1)
    latencies = []
    for number in range(IDLE_JOBS):
        await asyncio.sleep(pause.uniform(0.005, 0.015))
        runs.expect(1)
        started_at = perf_counter()
        await enqueue(number)
        latencies.append((await runs.ended_at() - started_at) * 1000)
    return latencies


async def is_durable(redis: Any) -> bool:  # the client that comes with the library
    """Does this Redis answer a write only when the write is on the disk?"""
    answers = (await redis.config_get("append*")).items()
    settings = {_text(name): _text(value) for name, value in answers}
    return settings["appendonly"] == "yes" and settings["appendfsync"] == "always"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
