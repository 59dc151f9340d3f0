"""Whether the database answers, in virtual time: nobody waits longer than a second to hear that it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest

from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.mongo import Pulse
from tests.support.virtual_time import virtual


@dataclass
class Server:
    """`heard`: its changes are; `frozen`: it takes a ping and says nothing; `away`: it refuses."""

    heard: bool = False
    frozen: bool = False
    away: bool = False
    pings: int = 0
    most_at_once: int = 0
    _at_once: int = 0

    async def ping(self) -> None:
        self.pings += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            while self.frozen:
                await anyio.sleep(0.01)
            await anyio.sleep(0.001)
            if self.away:
                raise DatabaseUnavailable
        finally:
            self._at_once -= 1


@asynccontextmanager
async def beating(server: Server) -> AsyncIterator[Pulse]:
    pulse = Pulse(server.ping, lambda: server.heard)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pulse.run)
        yield pulse
        tasks.cancel_scope.cancel()


async def waited(pulse: Pulse, *, look: bool = False) -> float:
    """How long it took to be refused."""
    began = anyio.current_time()
    with pytest.raises(DatabaseUnavailable):
        await (pulse.look() if look else pulse.check())
    return anyio.current_time() - began


@virtual
async def test_while_changes_are_heard_of_nothing_is_asked() -> None:
    server = Server(heard=True, frozen=True)
    async with beating(server) as pulse:
        for _ in range(10):
            await pulse.check()
            await anyio.sleep(1)
    assert server.pings == 0


@virtual
async def test_a_server_whose_stream_is_silent_but_that_answers_is_used() -> None:
    server = Server()
    async with beating(server) as pulse:
        for _ in range(50):
            began = anyio.current_time()
            await pulse.check()
            assert anyio.current_time() - began < 0.3
            await anyio.sleep(0.1)
        assert server.most_at_once == 1


@virtual
async def test_beside_a_frozen_server_the_first_waits_a_second_and_those_after_it_not_at_all() -> None:
    server = Server(frozen=True)
    async with beating(server) as pulse:
        assert await waited(pulse) <= 1.0
        for _ in range(5):
            assert await waited(pulse) == 0.0
        assert (server.pings, server.most_at_once) == (1, 1)
        server.frozen = False
        await anyio.sleep(0.1)
        await pulse.check()


@virtual
async def test_an_answer_counts_for_a_second_only() -> None:
    server = Server()
    async with beating(server) as pulse:
        await pulse.check()
        server.frozen = True
        await anyio.sleep(1.5)
        assert await waited(pulse) <= 1.0


@virtual
async def test_a_server_that_is_away_is_told_as_soon_as_it_is_known() -> None:
    async with beating(Server(away=True)) as pulse:
        assert await waited(pulse) < 0.3


@virtual
async def test_who_looks_is_not_content_with_having_heard() -> None:
    server = Server(heard=True)
    async with beating(server) as pulse:
        await pulse.look()
        server.frozen = True
        assert await waited(pulse, look=True) == pytest.approx(1.0)
