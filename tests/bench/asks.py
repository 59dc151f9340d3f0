"""What an in-process ask costs, beside the least that two wake-ups cost on the same event loop in the same run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

import anyio

from promptforge.core.context import Context
from promptforge.core.messages import Command, Query, public
from promptforge.core.runtime import Actor, System, handles
from tests.bench.table import Row, print_rows

ROUNDS = 15
CALLS = 3000


@public
class Ping(Command[int]):
    """A command without a key."""

    number: int


@public
class KeyedPing(Command[int]):
    """A command with a key."""

    number: int


@public
class Look(Query[int]):
    """A query."""

    number: int


class EchoActor(Actor):
    name = "echo"

    @handles(Ping)
    async def ping(self, message: Ping, context: Context) -> int:
        return message.number

    @handles(KeyedPing, key="number")
    async def keyed_ping(self, message: KeyedPing, context: Context) -> int:
        return message.number

    @handles(Look)
    async def look(self, message: Look, context: Context) -> int:
        return message.number


async def _microseconds(call: Callable[[], Awaitable[object]]) -> float:
    started = perf_counter()
    for _ in range(CALLS):
        await call()
    return (perf_counter() - started) / CALLS * 1e6


async def _floor_round() -> float:
    """Two bare future wake-ups: wake a task, be woken by it."""
    loop = asyncio.get_running_loop()
    inbox: list[asyncio.Future[asyncio.Future[None]]] = [loop.create_future()]

    async def echo() -> None:
        while True:
            reply = await inbox[0]
            inbox[0] = loop.create_future()
            reply.set_result(None)

    async def call() -> None:
        reply: asyncio.Future[None] = loop.create_future()
        inbox[0].set_result(reply)
        await reply

    task = loop.create_task(echo())
    await asyncio.sleep(0)
    try:
        return await _microseconds(call)
    finally:
        task.cancel()


async def _measure() -> dict[str, list[float]]:
    rounds: dict[str, list[float]] = {"floor": [], "ask": [], "keyed ask": [], "query": []}
    async with System([EchoActor()]).running() as system:
        context = system.context(request_id="bench", timeout_seconds=3600)
        for _ in range(ROUNDS):
            rounds["floor"].append(await _floor_round())
            rounds["ask"].append(await _microseconds(lambda: context.ask(Ping(number=1))))
            rounds["keyed ask"].append(await _microseconds(lambda: context.ask(KeyedPing(number=1))))
            rounds["query"].append(await _microseconds(lambda: context.ask(Look(number=1))))
    return rounds


def run() -> None:
    """Print one table per event loop."""
    for name, use_uvloop, budget in (("asyncio", False, "≤ 2.8 × floor"), ("uvloop", True, "≤ 4.8 × floor")):
        rounds = anyio.run(_measure, backend_options={"use_uvloop": use_uvloop})
        rows = [Row("floor", rounds["floor"], "µs")]
        rows += [Row(what, rounds[what], "µs", "floor", budget) for what in ("ask", "keyed ask")]
        rows.append(Row("query", rounds["query"], "µs", "floor"))
        print_rows(f"In-process ask on {name} (floor: two bare future wake-ups)", rows)
