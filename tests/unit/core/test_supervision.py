"""Crashes and restarts: what is one, what survives it, and when it is enough."""

from __future__ import annotations

from random import Random

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import DatabaseUnavailable, Stopping, Unavailable
from promptforge.core.runtime import ActorState, CriticalActorFailed, DeadLetterReason
from tests.support.virtual_time import virtual
from tests.unit.core.sample import Crash, Look, SampleActor, Work, system_of


class Fragile(SampleActor):
    """Fails to start as often as told."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)
        self.starts: list[float] = []
        self.stops = 0

    async def start(self, context: Context) -> None:
        self.starts.append(anyio.current_time())
        if self.failures:
            raise self.failures.pop(0)

    async def stop(self) -> None:
        self.stops += 1


class Looping(SampleActor):
    """Has a loop of its own that breaks after a second, once."""

    runs = 0

    async def run(self, context: Context) -> None:
        self.runs += 1
        await anyio.sleep(1)
        if self.runs == 1:
            raise RuntimeError("the loop broke")
        await anyio.sleep_forever()


class Critical(Fragile):
    critical = True


@virtual
async def test_a_broken_worker_is_restarted_and_the_mailbox_survives() -> None:
    actor = Fragile()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        async with anyio.create_task_group() as tasks:
            for number in range(3):  # one at work, two waiting for their key
                tasks.start_soon(_ignoring_a_stop, context, Work(number=number, seconds=1.0))
                await anyio.sleep(0.01)
            with pytest.raises(Stopping):
                await context.ask(Crash())
        (snapshot,) = system.inspect()
    assert actor.ended == [1, 2]
    assert (snapshot.restarts, snapshot.state) == (1, ActorState.RUNNING)
    assert snapshot.last_crash is not None
    assert snapshot.last_crash.startswith("Broken")
    assert (len(actor.starts), actor.stops) == (2, 2)


async def _ignoring_a_stop(context: Context, message: Work) -> None:
    try:
        await context.ask(message)
    except Stopping:
        assert message.number == 0  # only what a worker had in hand is lost with it


@virtual
async def test_a_broken_loop_is_restarted() -> None:
    actor = Looping()
    async with system_of(actor).running() as system:
        await anyio.sleep(5)
        assert (actor.runs, system.ready) == (2, True)


@virtual
async def test_a_failed_start_is_tried_again_with_growing_jittered_pauses() -> None:
    actor = Fragile(*[RuntimeError("not yet") for _ in range(5)])
    async with system_of(actor, rng=Random(1)).running() as system:
        await anyio.sleep(30)
        assert system.ready
    pauses = [after - before for before, after in zip(actor.starts, actor.starts[1:], strict=False)]
    for number, pause in enumerate(pauses):
        longest = 0.1 * 2**number
        assert longest / 2 - 1e-9 <= pause <= longest + 1e-9
    assert len({round(pause / 2**number, 6) for number, pause in enumerate(pauses)}) == 5


@virtual
async def test_more_than_five_crashes_in_thirty_seconds_is_enough() -> None:
    actor = Fragile(*[RuntimeError("never") for _ in range(99)])
    async with system_of(actor).running() as system:
        await anyio.sleep(60)
        (snapshot,) = system.inspect()
        assert (snapshot.state, len(actor.starts), system.ready) == (ActorState.FAILED, 6, False)
        with pytest.raises(Unavailable):
            await system.context(request_id="r").ask(Work(number=1))
        with pytest.raises(Unavailable):
            await system.context(request_id="r").ask(Look(number=1))


@virtual
async def test_crashes_that_are_far_apart_are_forgiven() -> None:
    actor = Fragile()
    async with system_of(actor).running() as system:
        for _ in range(12):
            with pytest.raises(Stopping):
                await system.context(request_id="r").ask(Crash())
            await anyio.sleep(10)
        assert system.ready


@virtual
async def test_what_waited_for_an_actor_that_stays_down_is_answered() -> None:
    actor = Fragile(*[RuntimeError("never") for _ in range(99)])
    async with system_of(actor).running() as system:
        await anyio.sleep(0.01)
        with pytest.raises(Stopping, match="keeps failing"):
            await system.context(request_id="r", timeout_seconds=100).ask(Work(number=1))
        assert anyio.current_time() < 60
    assert system.dead_letters.counts[DeadLetterReason.STOPPED] == 1


@virtual
async def test_a_critical_actor_that_stays_down_ends_the_system() -> None:
    actor = Critical(*[RuntimeError("never") for _ in range(99)])
    with pytest.raises(BaseExceptionGroup) as ended:
        async with system_of(actor).running():
            await anyio.sleep(3600)
    assert ended.group_contains(CriticalActorFailed)
    assert anyio.current_time() < 60


@virtual
async def test_a_database_that_is_away_is_waited_out_and_never_counted() -> None:
    actor = Critical(*[DatabaseUnavailable() for _ in range(20)])
    async with system_of(actor).running() as system:
        (snapshot,) = system.inspect()
        assert (snapshot.state, system.ready) == (ActorState.DEGRADED, False)
        with pytest.raises(Unavailable):
            await system.context(request_id="r").ask(Look(number=1))
        assert await system.context(request_id="r", timeout_seconds=200).ask(Work(number=1)) == 1
        (snapshot,) = system.inspect()
    assert (snapshot.restarts, len(actor.starts)) == (0, 21)


@virtual
async def test_a_stop_during_the_pause_before_a_restart_does_not_wait_for_it() -> None:
    actor = Fragile(*[DatabaseUnavailable() for _ in range(99)])
    async with system_of(actor).running():
        await anyio.sleep(60)
        before = anyio.current_time()
    assert anyio.current_time() == before
