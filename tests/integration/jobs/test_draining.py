"""The testing helpers themselves: everything due runs here and now, by the test's own clock."""

from __future__ import annotations

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import Unavailable
from promptforge.core.jobs import Snooze
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor, handles
from tests.support.processes import SteppedClock, job_process

pytestmark = pytest.mark.anyio


@internal
class Relay(Command[None]):
    """Hands on to the next, so many times."""

    hops: int


@internal
class Stubborn(Command[None]):
    """Works the third time."""


@internal
class NextMonth(Command[None]):
    """Puts itself off once."""


class DrainedActor(Actor):
    name = "drained"

    def __init__(self) -> None:
        self.done: list[str] = []
        self.tries = 0

    @handles(Relay)
    async def relay(self, message: Relay, context: Context) -> None:
        self.done.append(f"hop {message.hops}")
        if message.hops:
            await context.enqueue(Relay(hops=message.hops - 1))

    @handles(Stubborn)
    async def stubborn(self, message: Stubborn, context: Context) -> None:
        self.tries += 1
        if self.tries < 3:
            raise Unavailable("not yet")
        self.done.append("stubborn")

    @handles(NextMonth)
    async def next_month(self, message: NextMonth, context: Context) -> None:
        if not self.done:
            self.done.append("put off")
            raise Snooze(30 * 24 * 3600)
        self.done.append("a month later")


async def test_drain_runs_what_is_due_and_what_that_enqueues(mongo: Mongo) -> None:
    actor = DrainedActor()
    async with job_process(mongo, [actor], running=False) as process:
        await process.context().enqueue(Relay(hops=3))
        await process.context().enqueue(Relay(hops=0), delay_seconds=60)
        assert await process.runner.drain() == 4
        assert await process.runner.drain() == 0
    assert actor.done == ["hop 3", "hop 2", "hop 1", "hop 0"]


async def test_time_passes_when_the_test_says_so(mongo: Mongo) -> None:
    actor, clock = DrainedActor(), SteppedClock()
    async with job_process(mongo, [actor], running=False, clock=clock) as process:
        job_id = await process.context().enqueue(Stubborn())
        await process.runner.drain()
        clock.advance(seconds=0.4)
        assert await process.runner.drain() == 0  # the backoff is at least half a second
        clock.advance(seconds=1)
        await process.runner.drain()
        clock.advance(seconds=4)
        await process.runner.drain()
        job = await process.store.get(job_id)
    assert (actor.done, job.attempt, job.state) == (["stubborn"], 3, "completed")


async def test_a_month_passes_in_a_moment(mongo: Mongo) -> None:
    actor, clock = DrainedActor(), SteppedClock()
    async with job_process(mongo, [actor], running=False, clock=clock) as process:
        await process.context().enqueue(NextMonth())
        await process.runner.drain()
        clock.advance(days=29)
        assert await process.runner.drain() == 0
        clock.advance(days=2)
        assert await process.runner.drain() == 1
    assert actor.done == ["put off", "a month later"]


async def test_who_hears_of_a_changed_queue_after_the_end_begins_nothing(mongo: Mongo) -> None:
    """The change stream is followed for a moment longer than jobs are run."""
    async with job_process(mongo, []) as process:
        await process.runner.stop(5)
        for _ in range(50):
            process.runner.refresh_queues()
            await anyio.sleep(0.01)
