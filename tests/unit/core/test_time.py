"""Queries, deadlines and cancellation: what is started, what is stopped, and who hears of it."""

from __future__ import annotations

import anyio
import pytest

from promptforge.core.errors import DeadlineExceeded, MailboxFull, Stopping
from promptforge.core.runtime import DeadLetterReason
from promptforge.core.runtime.system import System
from tests.support.virtual_time import virtual
from tests.unit.core.sample import Look, SampleActor, Work, ask_all, system_of


def _leftovers(system: System) -> tuple[int, int, int, int, int]:
    (cell,) = system._cells
    return cell.depth, len(cell._lanes), len(cell._ready), len(cell.running), len(system.deadlines._buckets)


@virtual
async def test_a_query_answers_while_every_worker_is_busy() -> None:
    actor = SampleActor()
    async with system_of(actor).running(grace_seconds=1) as system:
        context = system.context(request_id="r")
        for number in range(8):
            context.tell(Work(number=number, key=str(number), seconds=3600))
        await anyio.sleep(1)
        assert await context.ask(Look(number=1)) == 1


@virtual
async def test_queries_are_bounded_and_the_next_in_line_goes_first() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        started = anyio.current_time()
        answers = await ask_all(context, [Look(number=n, seconds=1.0) for n in range(7)])
        assert anyio.current_time() - started == pytest.approx(3.0)  # three at a time
        assert answers == list(range(7))
        order = [number for _, number in actor.log]
        assert [sorted(order[:3]), sorted(order[3:6]), order[6:]] == [[0, 1, 2], [3, 4, 5], [6]]
        crowd = await ask_all(context, [Look(number=n, seconds=1.0) for n in range(13)])
    # Three run, as many wait as the mailbox holds, and the rest are refused.
    assert sum(isinstance(answer, MailboxFull) for answer in crowd) == 2


@virtual
async def test_a_query_that_waited_in_vain_leaves_its_place() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(context.ask, Look(number=number, seconds=5.0))
            await anyio.sleep(1)
            with anyio.move_on_after(1):
                await context.ask(Look(number=99))
            with pytest.raises(DeadlineExceeded):
                await context.ask(Look(number=98), timeout_seconds=1.0)
        (cell,) = system._cells
        assert cell.turnstile.inside == 0
        await ask_all(context, [Look(number=n) for n in range(3)])
    assert ("look", 99) not in actor.log


@virtual
async def test_a_running_query_is_cancelled_with_its_caller() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        with anyio.move_on_after(1):
            await system.context(request_id="r").ask(Look(number=1, seconds=60))
        assert actor.log == [("look", 1), ("cancelled", 1)]
        assert _leftovers(system) == (0, 0, 0, 0, 0)


@virtual
async def test_a_running_query_is_cancelled_by_the_deadline() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        with pytest.raises(DeadlineExceeded):
            await system.context(request_id="r", timeout_seconds=2).ask(Look(number=1, seconds=60))
        assert anyio.current_time() == pytest.approx(2.0)
        (snapshot,) = system.inspect()
    assert actor.log == [("look", 1), ("cancelled", 1)]
    assert snapshot.expired == 1


@virtual
async def test_a_command_past_its_deadline_is_not_started() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r", timeout_seconds=1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(system.context(request_id="slow").ask, Work(number=1, seconds=5))
            await anyio.sleep(0.1)
            with pytest.raises(DeadlineExceeded):
                await context.ask(Work(number=2))
            assert anyio.current_time() == pytest.approx(1.0, abs=1 / 32)
        with pytest.raises(DeadlineExceeded):
            await context.ask(Work(number=3))
    assert actor.started == [1]
    assert system.dead_letters.counts[DeadLetterReason.EXPIRED] == 2


@virtual
async def test_a_command_is_not_started_either_in_the_moment_before_the_watcher_looks() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system, anyio.create_task_group() as tasks:
        tasks.start_soon(system.context(request_id="slow").ask, Work(number=1, seconds=1.001))
        await anyio.sleep(0.0005)
        with pytest.raises(DeadlineExceeded):
            await system.context(request_id="r", timeout_seconds=1.0).ask(Work(number=2))
    assert actor.started == [1]


@virtual
async def test_the_deadline_is_never_early_and_at_most_a_bucket_late() -> None:
    async with system_of(SampleActor()).running() as system:
        for timeout in (0.013, 0.5, 1.0, 1.0001, 7.7):
            before = anyio.current_time()
            with pytest.raises(DeadlineExceeded):
                await system.context(request_id="r", timeout_seconds=timeout).ask(Work(number=1, seconds=60, key="a"))
            assert timeout <= anyio.current_time() - before + 1e-9
            assert anyio.current_time() - before <= timeout + 2 / 64
            await anyio.sleep(100)


@virtual
async def test_a_running_command_finishes_after_its_asker_heard_of_the_deadline() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        with pytest.raises(DeadlineExceeded):
            await system.context(request_id="r", timeout_seconds=1).ask(Work(number=1, seconds=3))
        assert actor.ended == []
        await anyio.sleep(3)
        assert actor.ended == [1]
        assert _leftovers(system) == (0, 0, 0, 0, 0)


@virtual
async def test_the_smaller_of_two_deadlines_wins() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r", timeout_seconds=2)
        with pytest.raises(DeadlineExceeded):
            await context.ask(Work(number=1, seconds=60, key="a"), timeout_seconds=1)
        assert anyio.current_time() == pytest.approx(1.0, abs=1 / 32)
        with pytest.raises(DeadlineExceeded):
            await context.ask(Work(number=2, seconds=60, key="b"), timeout_seconds=50)
        assert anyio.current_time() == pytest.approx(2.0, abs=1 / 32)


@virtual
async def test_a_cancelled_ask_withdraws_what_still_waits() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(context.ask, Work(number=1, seconds=5))
            await anyio.sleep(0.1)
            with anyio.move_on_after(1):
                await context.ask(Work(number=2))
            assert system._cells[0].depth == 0
        assert await context.ask(Work(number=3)) == 3
        assert _leftovers(system) == (0, 0, 0, 0, 0)
        (snapshot,) = system.inspect()
    assert actor.started == [1, 3]
    assert snapshot.abandoned == 1
    assert system.dead_letters.counts[DeadLetterReason.ABANDONED] == 1


@virtual
async def test_a_running_command_outlives_its_cancelled_asker() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        with anyio.move_on_after(1):
            await system.context(request_id="r").ask(Work(number=1, seconds=3))
        assert actor.ended == []
        await anyio.sleep(3)
    assert actor.ended == [1]


@virtual
async def test_asks_that_come_and_time_out_behind_stuck_workers_leave_nothing() -> None:
    actor = SampleActor()
    async with system_of(actor).running(grace_seconds=1) as system:
        stuck = system.context(request_id="stuck", timeout_seconds=1e6)
        for number in range(4):
            stuck.tell(Work(number=number, key=str(number), seconds=1e5))
        await anyio.sleep(1)
        for round_ in range(50):
            context = system.context(request_id="r", timeout_seconds=0.5)
            answers = await ask_all(context, [Work(number=n, key=f"{round_}:{n}") for n in range(6)])
            assert all(isinstance(answer, DeadlineExceeded) for answer in answers)
        assert _leftovers(system) == (0, 4, 0, 4, 0)


@virtual
async def test_once_stopping_new_root_asks_are_refused() -> None:
    system = system_of(SampleActor())
    async with system.running():
        context = system.context(request_id="r")
    with pytest.raises(Stopping):
        await context.ask(Look(number=1))
