"""Room for packages in memory: how many at once, of whom, and what becomes of those who wait."""

from __future__ import annotations

from collections import Counter

import anyio
import anyio.lowlevel
import pytest

from promptforge.actors.packages.installing.room import AT_ONCE, MOST_WAITING, Room
from promptforge.core.errors import DeadlineExceeded, MailboxFull

pytestmark = pytest.mark.anyio


async def test_few_are_inside_at_once_and_never_two_of_one_user() -> None:
    room, inside, most = Room(), Counter[str](), [0]

    async def come(user: str) -> None:
        async with room.entered(user, seconds=30):
            inside[user] += 1
            assert inside[user] == 1
            most[0] = max(most[0], inside.total())
            await anyio.lowlevel.checkpoint()
            inside[user] -= 1

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(come, f"user {number % 4}")
    assert most == [AT_ONCE]
    assert inside.total() == 0


async def test_who_brings_many_takes_one_place_only() -> None:
    room = Room()
    async with room.entered("eve", seconds=30), anyio.create_task_group() as tasks:
        for _ in range(MOST_WAITING):
            tasks.start_soon(_come, room, "eve")
        await anyio.wait_all_tasks_blocked()
        async with room.entered("ada", seconds=0.5):
            tasks.cancel_scope.cancel()


async def test_who_gets_no_room_in_time_hears_so_and_leaves_the_line() -> None:
    room = Room()
    async with room.entered("ada", seconds=30), room.entered("bob", seconds=30):
        for user in ("ada", "carla"):
            with pytest.raises(DeadlineExceeded):
                async with room.entered(user, seconds=0.01):
                    raise AssertionError("there is no room")
    async with room.entered("ada", seconds=0.5), room.entered("carla", seconds=0.5):
        pass


async def test_the_line_has_an_end() -> None:
    room = Room()
    async with room.entered("ada", seconds=30), room.entered("bob", seconds=30), anyio.create_task_group() as tasks:
        for number in range(MOST_WAITING):
            tasks.start_soon(_come, room, f"user {number}")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(MailboxFull):
            async with room.entered("late", seconds=30):
                raise AssertionError("there is no room")
        tasks.cancel_scope.cancel()


async def _come(room: Room, user: str) -> None:
    async with room.entered(user, seconds=30):
        await anyio.lowlevel.checkpoint()
