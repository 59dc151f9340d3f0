"""Stopping in order, within the grace period, with an answer for everyone."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import Stopping
from promptforge.core.messages import Command, public
from promptforge.core.runtime import Actor, ActorState, DeadLetterReason, handles
from promptforge.core.runtime.telemetry import DeadLetters, Histogram
from tests.support.virtual_time import virtual
from tests.unit.core.sample import SampleActor, Work, ask_all, system_of


@public
class Front(Command[int]):
    """Waits, then asks the actor behind."""

    seconds: float


class FrontActor(Actor):
    name = "front"
    asks = ("sample",)

    def __init__(self, order: list[str]) -> None:
        self._order = order

    @handles(Front)
    async def front(self, message: Front, context: Context) -> int:
        await anyio.sleep(message.seconds)
        return await context.ask(Work(number=1, seconds=1))

    async def stop(self) -> None:
        self._order.append("front")


class BehindActor(SampleActor):
    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self._order = order

    async def stop(self) -> None:
        self._order.append("sample")


@virtual
async def test_requests_under_way_finish_with_their_nested_asks_and_askers_stop_first() -> None:
    order: list[str] = []
    answers: list[int] = []
    system = system_of(BehindActor(order), FrontActor(order))

    async def request() -> None:
        answers.append(await system.context(request_id="r").ask(Front(seconds=2)))

    async with anyio.create_task_group() as tasks:
        async with system.running(grace_seconds=10):
            tasks.start_soon(request)
            await anyio.sleep(1)
        assert anyio.current_time() == pytest.approx(3.0)
    assert answers == [1]
    assert order == ["front", "sample"]


@virtual
async def test_while_stopping_a_new_request_is_refused_but_a_nested_ask_is_not() -> None:
    system = system_of(BehindActor([]), FrontActor([]))
    refused: list[Exception] = []

    async def late_request() -> None:
        await anyio.sleep(1.5)
        try:
            await system.context(request_id="late").ask(Front(seconds=0))
        except Stopping as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks, system.running(grace_seconds=10):
        tasks.start_soon(system.context(request_id="r").ask, Front(seconds=2))
        tasks.start_soon(late_request)
        await anyio.sleep(1)
    assert len(refused) == 1


@virtual
async def test_what_told_messages_wait_is_still_handled() -> None:
    actor = SampleActor()
    async with system_of(actor).running(grace_seconds=10) as system:
        for number in range(5):
            system.context(request_id="r").tell(Work(number=number, seconds=1))
    assert actor.ended == [0, 1, 2, 3, 4]
    assert system.dead_letters.ring == DeadLetters().ring


@virtual
async def test_the_grace_period_bounds_the_stop_and_everyone_is_answered() -> None:
    actor = SampleActor()
    system = system_of(actor)
    answers: list[Any] = []

    async def requests() -> None:
        messages = [Work(number=number, seconds=100) for number in range(4)]
        answers.extend(await ask_all(system.context(request_id="r", timeout_seconds=1e4), messages))

    async with anyio.create_task_group() as tasks:
        async with system.running(grace_seconds=5):
            tasks.start_soon(requests)
            await anyio.sleep(1)
        assert anyio.current_time() == pytest.approx(6.0)
    assert [type(answer) for answer in answers] == [Stopping] * 4
    assert actor.ended == []
    assert system.dead_letters.counts[DeadLetterReason.STOPPED] == 3
    assert [snapshot.state for snapshot in system.inspect()] == [ActorState.STOPPED]


@virtual
async def test_a_cancelled_host_still_drains() -> None:
    order: list[str] = []
    system = system_of(BehindActor(order), FrontActor(order))
    with anyio.move_on_after(1):
        async with system.running(grace_seconds=5):
            await anyio.sleep_forever()
    assert order == ["front", "sample"]


@virtual
async def test_the_ring_of_dead_letters_keeps_the_last_256_and_counts_all() -> None:
    actor = SampleActor()
    async with system_of(actor).running(grace_seconds=1) as system:
        context = system.context(request_id="r")
        for number in range(308):  # eight fit
            context.tell(Work(number=number, seconds=100))
        assert len(system.dead_letters.ring) == 256
        assert system.dead_letters.counts[DeadLetterReason.FULL] == 300


def test_a_histogram_answers_with_the_bound_of_the_bucket() -> None:
    histogram = Histogram()
    assert histogram.quantile_seconds(0.5) == 0.0
    for _ in range(99):
        histogram.add(3e-6)
    histogram.add(1000.0)
    assert histogram.count == 100
    assert histogram.quantile_seconds(0.5) == pytest.approx(4e-6)
    assert histogram.quantile_seconds(1.0) > 60
    assert histogram.total_seconds == pytest.approx(1000.000297)


@virtual
async def test_wait_and_run_times_are_measured() -> None:
    async with system_of(SampleActor()).running() as system:
        await ask_all(system.context(request_id="r"), [Work(number=n, seconds=1.0) for n in range(3)])
        (snapshot,) = system.inspect()
    assert snapshot.handled == 3
    assert 1.0 <= snapshot.run_p50_seconds <= 2.1
    assert 2.0 <= snapshot.wait_p99_seconds <= 4.2
