"""A small actor whose handlers do what their message tells them, and write down what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import anyio.lowlevel

from promptforge.core.context import Context
from promptforge.core.errors import Conflict
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor, System, handles
from tests.support.virtual_time import LoopClock


@public
class Work(Command[int]):
    """Takes `seconds`, then answers `number`."""

    number: int
    key: str = "k"
    seconds: float = 0.0


@public
class Loose(Command[int]):
    """As `Work`, without a key."""

    number: int
    seconds: float = 0.0


@public
class Quick(Command[None]):
    """Never suspends."""


@public
class Look(Query[int]):
    """A query that takes `seconds`."""

    number: int
    seconds: float = 0.0


@public
class Fail(Command[None]):
    """Raises `Conflict`."""


@public
class Crash(Command[None]):
    """Breaks the worker that handles it."""


@internal
class Inside(Command[str]):
    """For other actors only."""


@requires(Role.SELLER, scope="things:write")
class Sell(Command[str]):
    """For sellers."""


@requires(scope="things:read")
class Read(Query[str]):
    """For anyone signed in."""


@requires()
class Personal(Command[str]):
    """For people, not for API keys: it has no scope."""


class Broken(BaseException):
    """No `Exception`: what a bug in the runtime's own loop would look like."""


class SampleActor(Actor):
    name = "sample"
    workers = 4
    mailbox_size = 8
    max_queries = 3

    def __init__(self) -> None:
        self.log: list[tuple[str, int]] = []
        self.quick_ones = 0
        self.active: dict[str, int] = {}
        self.contexts: list[Context] = []

    @handles(Work, key="key")
    async def work(self, message: Work, context: Context) -> int:
        self.contexts.append(context)
        assert self.active.get(message.key, 0) == 0, "two workers have one key"
        self.active[message.key] = 1
        self.log.append(("start", message.number))
        try:
            await anyio.sleep(message.seconds)
        finally:
            self.active[message.key] = 0
        self.log.append(("end", message.number))
        return message.number

    @handles(Loose)
    async def loose(self, message: Loose, context: Context) -> int:
        self.contexts.append(context)
        self.log.append(("start", message.number))
        await anyio.sleep(message.seconds)
        self.log.append(("end", message.number))
        return message.number

    @handles(Quick)
    async def quick(self, message: Quick, context: Context) -> None:
        self.quick_ones += 1

    @handles(Look)
    async def look(self, message: Look, context: Context) -> int:
        self.contexts.append(context)
        self.log.append(("look", message.number))
        try:
            await anyio.sleep(message.seconds)
        except BaseException:
            self.log.append(("cancelled", message.number))
            raise
        return message.number

    @handles(Fail)
    async def fail(self, message: Fail, context: Context) -> None:
        raise Conflict("as asked")

    @handles(Crash)
    async def crash(self, message: Crash, context: Context) -> None:
        raise Broken

    @handles(Inside, transactional=True)
    async def inside(self, message: Inside, context: Context) -> str:
        self.contexts.append(context)
        return "inside"

    @handles(Sell)
    async def sell(self, message: Sell, context: Context) -> str:
        return context.user_id

    @handles(Read)
    async def read(self, message: Read, context: Context) -> str:
        return context.user_id

    @handles(Personal)
    async def personal(self, message: Personal, context: Context) -> str:
        return context.user_id

    @property
    def started(self) -> list[int]:
        return [number for what, number in self.log if what == "start"]

    @property
    def ended(self) -> list[int]:
        return [number for what, number in self.log if what == "end"]


def system_of(*actors: Actor, **options: Any) -> System:
    """A system on the running loop's (virtual) time."""
    return System(list(actors), clock=LoopClock(), **options)


async def ask_all(context: Context, messages: Sequence[Any]) -> list[Any]:
    """Ask them all at once, in order; answers what each answered or raised."""
    answers: list[Any] = [None] * len(messages)

    async def ask(index: int) -> None:
        try:
            answers[index] = await context.ask(messages[index])
        except Exception as error:  # noqa: BLE001  # the test looks at it
            answers[index] = error

    async with anyio.create_task_group() as tasks:
        for index in range(len(messages)):
            tasks.start_soon(ask, index)
            await anyio.lowlevel.checkpoint()  # trio starts tasks of one batch in any order
    return answers
