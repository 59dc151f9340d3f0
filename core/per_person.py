"""What is known of people one by one, in this process's memory: bounded, and forgotten when it changes.

What was read while something was forgotten is not kept, for it may be older than the change. While changes are not
heard of nothing is answered, and nothing kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from cachetools import LRUCache

T = TypeVar("T")


class PerPerson(Generic[T]):
    """`trusted` says whether changes are being heard of; `size` is what something counts for, of `most` together."""

    def __init__(self, trusted: Callable[[], bool], *, size: Callable[[T], int], most: int) -> None:
        self._trusted = trusted
        self._known: LRUCache[str, T] = LRUCache(most, getsizeof=size)
        self._size = size
        self._changes = 0

    def find(self, user_id: str) -> T | None:
        return self._known.get(user_id) if self._trusted() else None

    def begin(self) -> int:
        """To be called before reading what is to be kept."""
        return self._changes

    def keep(self, begun: int, user_id: str, known: T) -> None:
        """Keep what was read since `begun`, unless something changed meanwhile."""
        if begun == self._changes and self._trusted() and self._size(known) <= self._known.maxsize:
            self._known[user_id] = known

    def forget(self, user_ids: Collection[str]) -> None:
        self._changes += bool(user_ids)
        for user_id in user_ids:
            self._known.pop(user_id, None)

    def clear(self) -> None:
        """Forget everybody: whom a change concerns is not known, or changes may have been missed."""
        self._changes += 1
        self._known.clear()

    @property
    def size(self) -> int:
        """How much is held together."""
        return int(self._known.currsize)
