"""Turns: one at a time for each name, and nothing kept of names that are not in use."""

from __future__ import annotations

import math

import anyio
import pytest

from promptforge.core.errors import DeadlineExceeded
from promptforge.core.runtime.turns import Turns

pytestmark = pytest.mark.anyio


async def test_one_at_a_time_for_each_name_in_order_of_arrival() -> None:
    turns, told, inside = Turns(), list[int](), 0

    async def work(number: int) -> None:
        nonlocal inside
        async with turns.taken("ada", seconds=math.inf):
            inside += 1
            assert inside == 1
            await anyio.sleep(0.001)
            told.append(number)
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(work, number)
    assert sorted(told) == list(range(5))
    assert len(turns) == 0


async def test_other_names_do_not_wait() -> None:
    turns = Turns()
    with anyio.fail_after(60):
        async with turns.taken("ada", seconds=1), turns.taken("ben", seconds=1):
            assert len(turns) == 2


async def test_whose_turn_does_not_come_in_time_is_told_and_the_next_one_still_gets_his() -> None:
    turns = Turns()
    async with turns.taken("ada", seconds=1):
        with pytest.raises(DeadlineExceeded):
            async with turns.taken("ada", seconds=0.01):
                pytest.fail("it was somebody else's turn")
    with anyio.fail_after(60):
        async with turns.taken("ada", seconds=1):
            assert len(turns) == 1
    assert len(turns) == 0


async def test_who_is_cancelled_while_waiting_or_inside_leaves_nothing_behind() -> None:
    turns = Turns()
    async with turns.taken("ada", seconds=math.inf):
        with anyio.move_on_after(0.01):
            async with turns.taken("ada", seconds=math.inf):
                pytest.fail("it was somebody else's turn")
    with anyio.move_on_after(0.01):
        async with turns.taken("ada", seconds=math.inf):
            await anyio.sleep_forever()
    assert len(turns) == 0
