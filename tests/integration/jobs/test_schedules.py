"""Schedules over several processes: one job for each tick, whoever is first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.jobs import Schedule
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor, handles
from tests.support.processes import SteppedClock, TestProcess, job_process

pytestmark = pytest.mark.anyio


@internal
class Tick(Command[None]):
    """Notes that it is time."""

    at: datetime


class TickActor(Actor):
    name = "ticks"

    def __init__(self) -> None:
        self.ticks: list[datetime] = []

    @handles(Tick)
    async def tick(self, message: Tick, context: Context) -> None:
        self.ticks.append(message.at)


HOURLY = Schedule("hourly", "0 * * * *", lambda tick: Tick(at=tick))


@asynccontextmanager
async def _processes(mongo: Mongo, clock: SteppedClock, number: int) -> AsyncIterator[list[TestProcess]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                job_process(mongo, [TickActor()], running=False, clock=clock, schedules=[HOURLY])
            )
            for _ in range(number)
        ]


async def _fire(processes: list[TestProcess]) -> int:
    """Every process looks at the clock, at the same moment; answers how many fired something."""
    fired: list[int] = []

    async def fire(process: TestProcess) -> None:
        fired.append(await process.store.schedules.fire_due(process.context()))

    async with anyio.create_task_group() as tasks:
        for process in processes:
            tasks.start_soon(fire, process)
    return sum(fired)


async def test_five_processes_fire_each_tick_once(mongo: Mongo) -> None:
    clock = SteppedClock()
    async with _processes(mongo, clock, 5) as processes:
        for process in processes:
            await process.store.schedules.start()
        assert await _fire(processes) == 0
        for expected in (1, 2, 3):
            clock.advance(hours=1)
            assert await _fire(processes) == 1
            assert await mongo.collection("jobs").count_documents({}) == expected
        assert await _fire(processes) == 0
        (status,) = await processes[0].store.schedules.status()
    assert status.last_tick is not None
    assert status.next_tick == status.last_tick + timedelta(hours=1)


async def test_a_tick_is_not_fired_again_once_its_job_is_gone(mongo: Mongo) -> None:
    clock = SteppedClock()
    async with _processes(mongo, clock, 2) as (first, second):
        await first.store.schedules.start()
        await second.store.schedules.start()
        clock.advance(hours=1)
        assert await _fire([first]) == 1
        await mongo.collection("jobs").delete_many({})
        assert await _fire([second]) == 0


async def test_a_process_that_comes_back_makes_up_for_what_was_missed(mongo: Mongo) -> None:
    clock = SteppedClock()
    async with _processes(mongo, clock, 1) as (before,):
        await before.store.schedules.start()
    clock.advance(hours=5, minutes=30)
    async with _processes(mongo, clock, 1) as (after,):
        await after.store.schedules.start()
        assert await _fire([after]) == 1  # the latest one for all of them


async def test_a_schedule_is_triggered_beside_its_ticks(mongo: Mongo) -> None:
    async with _processes(mongo, SteppedClock(), 1) as (process,):
        job_id = await process.store.schedules.trigger("hourly", process.context())
        await process.runner.drain()
        assert (await process.store.get(job_id)).state == "completed"
        with pytest.raises(NotFound):
            await process.store.schedules.trigger("daily", process.context())


async def test_a_running_process_fires_by_itself(mongo: Mongo) -> None:
    actor = TickActor()
    seen = Schedule("secondly", "* * * * *", lambda tick: Tick(at=tick))
    async with job_process(mongo, [actor], running=False, schedules=[seen]) as process:
        await process.store.schedules.start()
        ago = process.store.now() - timedelta(minutes=5)
        await mongo.collection("job_schedules").update_one({"_id": "secondly"}, {"$set": {"seen_to": ago}})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.runner.run)
            with anyio.fail_after(60):
                while not actor.ticks:
                    await anyio.sleep(0.05)
            await process.runner.stop(1)
            tasks.cancel_scope.cancel()
