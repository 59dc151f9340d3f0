"""Workers, keys and bounds of the mailbox."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from promptforge.core.errors import Conflict, MailboxFull
from promptforge.core.runtime import DeadLetterReason
from tests.support.virtual_time import virtual
from tests.unit.core.sample import Fail, Look, Loose, Quick, SampleActor, Work, ask_all, system_of


@virtual
async def test_messages_of_one_key_are_handled_one_at_a_time_in_order() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        # The first takes longest: were they side by side, the others would end before it.
        answers = await ask_all(context, [Work(number=n, seconds=1.0 / (n + 1)) for n in range(6)])
    assert answers == [0, 1, 2, 3, 4, 5]
    assert actor.log == [(what, n) for n in range(6) for what in ("start", "end")]


@virtual
async def test_different_keys_run_side_by_side_up_to_the_workers() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        started = anyio.current_time()
        await ask_all(context, [Work(number=n, key=str(n), seconds=1.0) for n in range(8)])
        took = anyio.current_time() - started
    assert took == pytest.approx(2.0)  # eight messages, four workers
    assert actor.started == list(range(8))


@virtual
async def test_a_waiting_key_does_not_hold_up_the_others() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        slow = [Work(number=n, key="slow", seconds=10.0) for n in range(3)]
        quick = [Work(number=10 + n, key=f"quick{n}", seconds=0.1) for n in range(3)]
        await ask_all(context, [*slow, *quick])
    assert [sorted(actor.ended[:3]), actor.ended[3:]] == [[10, 11, 12], [0, 1, 2]]


@virtual
async def test_messages_without_a_key_never_wait_for_each_other() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        started = anyio.current_time()
        await ask_all(system.context(request_id="r"), [Loose(number=n, seconds=1.0) for n in range(4)])
        assert anyio.current_time() - started == pytest.approx(1.0)


@virtual
async def test_a_full_mailbox_refuses_at_once_with_a_dead_letter() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        answers = await ask_all(context, [Work(number=n, key="one", seconds=1.0) for n in range(12)])
        (snapshot,) = system.inspect()
    # One was being handled and eight were waiting when the last three came.
    full = [answer for answer in answers if isinstance(answer, MailboxFull)]
    assert [answer for answer in answers if isinstance(answer, int)] == list(range(9))
    assert len(full) == 3
    assert full[0].retry_after_seconds
    assert system.dead_letters.counts[DeadLetterReason.FULL] == 3
    assert (snapshot.rejected, snapshot.high_water_mark) == (3, 8)


@virtual
async def test_a_told_message_that_does_not_fit_is_a_dead_letter_and_says_so() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        taken = [context.tell(Work(number=n, key="one", seconds=1.0)) for n in range(10)]
        assert taken == [True] * 8 + [False] * 2
        await anyio.sleep(20)
    assert actor.ended == list(range(8))


@virtual
async def test_overload_delays_neither_introspection_nor_queries_nor_the_stop() -> None:
    actor = SampleActor()
    async with system_of(actor).running(grace_seconds=3) as system:
        context = system.context(request_id="r")
        for number in range(4):
            context.tell(Work(number=number, key=str(number), seconds=3600))
        await anyio.lowlevel.checkpoint()
        await anyio.sleep(0.01)
        for number in range(8):
            context.tell(Work(number=100 + number, key=str(number), seconds=3600))
        (snapshot,) = system.inspect()
        assert (snapshot.depth, len(snapshot.in_flight)) == (8, 4)
        assert await context.ask(Look(number=7)) == 7
        before = anyio.current_time()
    assert anyio.current_time() - before == pytest.approx(3.0)
    assert system.dead_letters.counts[DeadLetterReason.STOPPED] == 8


@virtual
async def test_a_handlers_error_goes_to_its_asker_and_is_no_crash() -> None:
    async with system_of(SampleActor()).running() as system:
        context = system.context(request_id="r")
        with pytest.raises(Conflict, match="as asked"):
            await context.ask(Fail())
        (snapshot,) = system.inspect()
    assert (snapshot.failed, snapshot.restarts) == (1, 0)


@virtual
async def test_a_told_message_that_fails_is_heard_of_as_a_dead_letter() -> None:
    async with system_of(SampleActor()).running() as system:
        system.context(request_id="r").tell(Fail())
        await anyio.sleep(0.1)
        letters = list(system.dead_letters.ring)
    assert [(letter.reason, letter.kind, letter.request_id) for letter in letters] == [
        (DeadLetterReason.UNHANDLED, Fail.message_kind, "r")
    ]


class ManyActor(SampleActor):
    mailbox_size = 1000


@virtual
async def test_handlers_that_never_suspend_let_other_tasks_run() -> None:
    actor = ManyActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        for _ in range(900):
            context.tell(Quick())
        seen: list[int] = []
        while actor.quick_ones < 900:
            seen.append(actor.quick_ones)
            await anyio.lowlevel.checkpoint()
    assert len(set(seen)) > 3
