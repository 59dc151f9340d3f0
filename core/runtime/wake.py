"""What a task waits on until another wakes it, once.

`anyio.Event` on every backend; on asyncio a bare future instead. An ask parks twice, and the event's own wait (a
coroutine, a look-up of the loop, a queue of waiters) makes the whole ask a third dearer there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio


class Wake(Protocol):
    """Set once, by anyone on the loop; waited for by one task."""

    def set(self) -> object: ...
    def is_set(self) -> bool: ...
    def wait(self) -> Awaitable[object]: ...


class FutureWake:
    """A wake over one asyncio future."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self._future = future

    def set(self) -> None:
        if not self._future.done():  # done also by a cancelled waiter
            self._future.set_result(None)

    def is_set(self) -> bool:
        return self._future.done()

    def wait(self) -> Awaitable[None]:
        return self._future


def wake_factory() -> Callable[[], Wake]:
    """The cheapest kind of wake for the running backend."""
    try:
        create_future = asyncio.get_running_loop().create_future
    except RuntimeError:  # this is trio
        return anyio.Event
    return lambda: FutureWake(create_future())
