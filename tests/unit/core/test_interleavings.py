"""Random interleavings of asks, cancellations, deadlines and crashes, from a seed.

A failure prints its seed; `PROMPTFORGE_SEED=n` runs only that one.
"""

from __future__ import annotations

import contextlib
import os
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError
from promptforge.core.messages import Command, Query, public
from promptforge.core.runtime import Actor, handles
from tests.support.virtual_time import BACKENDS, run_virtually
from tests.unit.core.sample import Broken, system_of

SEEDS = [int(os.environ["PROMPTFORGE_SEED"])] if "PROMPTFORGE_SEED" in os.environ else range(60)


@public
class Step(Command[int]):
    """One numbered step of a key."""

    key: str
    number: int
    seconds: float
    fate: str


@public
class Peek(Query[int]):
    """A query beside the steps."""

    seconds: float


class Model(Actor):
    name = "model"
    workers = 3
    mailbox_size = 12
    max_queries = 2

    def __init__(self) -> None:
        self.busy: set[str] = set()
        self.last: dict[str, int] = {}
        self.handled = 0
        self.violations: list[str] = []

    @handles(Step, key="key")
    async def step(self, message: Step, context: Context) -> int:
        if message.key in self.busy:
            self.violations.append(f"two workers have {message.key}")
        if message.number <= self.last.get(message.key, -1):
            self.violations.append(f"{message.key}: {message.number} after {self.last[message.key]}")
        self.last[message.key] = message.number
        self.busy.add(message.key)
        try:
            await anyio.sleep(message.seconds)
        finally:
            self.busy.discard(message.key)
        self.handled += 1
        if message.fate == "crash":
            raise Broken
        if message.fate == "fail":
            raise ValueError("as told")
        return message.number

    @handles(Peek)
    async def peek(self, message: Peek, context: Context) -> int:
        await anyio.sleep(message.seconds)
        return len(self.busy)


async def _story(seed: int) -> None:
    rng = Random(seed)
    actor = Model()
    answered = 0
    asked = 0

    async with system_of(actor, rng=Random(seed)).running(grace_seconds=60) as system:

        async def ask(message: Any, allowed: float, patience: float) -> None:
            nonlocal answered
            context = system.context(request_id="r", timeout_seconds=allowed)
            with anyio.move_on_after(patience):
                with contextlib.suppress(PromptForgeError, ValueError):
                    await context.ask(message)
            answered += 1

        async with anyio.create_task_group() as tasks:
            numbers = dict.fromkeys("abcde", 0)
            for _ in range(rng.randint(10, 60)):
                if rng.random() < 0.2:
                    message: Any = Peek(seconds=rng.choice((0.0, 0.5, 2.0)))
                else:
                    key = rng.choice("abcde")
                    fate = rng.choices(("ok", "fail", "crash"), (90, 8, 2))[0]
                    message = Step(key=key, number=numbers[key], seconds=rng.choice((0.0, 0.1, 1.0)), fate=fate)
                    numbers[key] += 1
                asked += 1
                tasks.start_soon(ask, message, rng.choice((0.3, 2.0, 30.0)), rng.choice((0.2, 1.0, 50.0)))
                await anyio.sleep(rng.choice((0.0, 0.0, 0.05, 0.4)))
                if rng.random() < 0.5:
                    await anyio.lowlevel.checkpoint()
        await anyio.sleep(60)
        (cell,) = system._cells
        left = (cell.depth, len(cell._lanes), len(cell._ready), len(cell.running), cell.turnstile.inside)
        assert left == (0, 0, 0, 0, 0), f"left over: {left}"
        assert not system.deadlines._buckets
        counters = cell.counters
        assert counters.handled + counters.failed <= asked
        assert await system.context(request_id="last").ask(Step(key="z", number=0, seconds=0, fate="ok")) == 0
    assert actor.violations == []
    assert answered == asked


@pytest.mark.parametrize("backend", BACKENDS)
def test_whatever_comes_in_whatever_order_the_invariants_hold(backend: str) -> None:
    for seed in SEEDS:
        try:
            run_virtually(backend, lambda seed=seed: _story(seed))  # type: ignore[misc]
        except BaseException as error:
            raise AssertionError(f"seed {seed} on {backend}") from error
