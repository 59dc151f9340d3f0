"""Workers are started when they are first needed, stay, and know nothing of who needed them."""

from __future__ import annotations

from contextvars import ContextVar

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import Stopping
from promptforge.core.runtime import ActorState, handles
from tests.support.virtual_time import virtual
from tests.unit.core.sample import Crash, Quick, SampleActor, Work, ask_all, system_of

asker: ContextVar[str] = ContextVar("asker", default="nobody")


class Curious(SampleActor):
    """Looks at a context variable."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    @handles(Quick)
    async def quick(self, message: Quick, context: Context) -> None:
        self.seen.append(asker.get())


class Leaving(SampleActor):
    """Sends a message when its first life is ended."""

    lives = 0

    async def run(self, context: Context) -> None:
        self.lives += 1
        try:
            await anyio.sleep_forever()
        finally:
            if self.lives == 1:
                context.tell(Work(number=7, seconds=0.5))


def tasks() -> int:
    return len(anyio.get_running_tasks())


@virtual
async def test_a_worker_is_started_when_there_is_work_for_it_and_stays() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        await anyio.sleep(0.1)
        unstaffed = tasks()
        await ask_all(context, [Work(number=n, key=str(n), seconds=0.5) for n in range(2)])
        assert tasks() == unstaffed + 2
        await ask_all(context, [Work(number=n, key="one") for n in range(8)])
        assert tasks() == unstaffed + 2


@virtual
async def test_there_are_never_more_workers_than_declared() -> None:
    actor = SampleActor()
    async with system_of(actor).running() as system:
        context = system.context(request_id="r")
        await anyio.sleep(0.1)
        unstaffed = tasks()
        for _ in range(3):
            await ask_all(context, [Work(number=n, key=str(n), seconds=0.5) for n in range(8)])
        assert tasks() == unstaffed + SampleActor.workers


@virtual
async def test_a_worker_does_not_begin_with_the_context_variables_of_who_needed_it() -> None:
    actor = Curious()
    async with system_of(actor).running() as system:
        asker.set("alice")
        await system.context(request_id="r").ask(Quick())
    assert actor.seen == ["nobody"]


@virtual
async def test_what_comes_while_an_actor_ends_is_handled_whole_by_its_next_life() -> None:
    actor = Leaving()
    async with system_of(actor).running() as system:
        with pytest.raises(Stopping):
            await system.context(request_id="r").ask(Crash())
        await anyio.sleep(5)
        assert system.inspect()[0].state is ActorState.RUNNING
    assert actor.log == [("start", 7), ("end", 7)]
