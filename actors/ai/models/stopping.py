"""Runs under way in this process, and their end where whoever they are for may not have them any more.

A run asks for its answer piece by piece, and waits for each piece in a scope of its own: so it can be stopped from
outside while it waits, and ends like one whose reader has left, in its own task, with its own single closing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio

from promptforge.core.errors import AccountSuspended

T = TypeVar("T")


class Going:
    """One run that is under way."""

    __slots__ = ("_scope", "_stopped")

    def __init__(self) -> None:
        self._scope: anyio.CancelScope | None = None
        self._stopped = False

    def stop(self) -> None:
        """Whoever waits for its next piece hears of it at once, and who asks for one later then."""
        self._stopped = True
        if self._scope is not None:
            self._scope.cancel()

    async def next(self, items: AsyncGenerator[T, None]) -> T:
        """The next piece. Raises `AccountSuspended` once the run was stopped."""
        if not self._stopped:
            self._scope = scope = anyio.CancelScope()
            with scope:
                try:
                    return await anext(items)
                finally:
                    self._scope = None
        raise AccountSuspended("The account was suspended while the model answered")


class UnderWay:
    """All runs of this process, by whom they are for."""

    def __init__(self) -> None:
        self._of: dict[str, set[Going]] = {}

    @property
    def people(self) -> tuple[str, ...]:
        return tuple(self._of)

    @contextmanager
    def going(self, user_id: str) -> Iterator[Going]:
        going = Going()
        self._of.setdefault(user_id, set()).add(going)
        try:
            yield going
        finally:
            mine = self._of[user_id]
            mine.discard(going)
            if not mine:
                del self._of[user_id]

    def stop(self, user_ids: Collection[str]) -> int:
        """Answers how many runs were stopped."""
        stopped = 0
        for user_id in user_ids:
            for going in self._of.get(user_id, ()):
                going.stop()
                stopped += 1
        return stopped
