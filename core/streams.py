"""Replies that come piece by piece: a command answers a `ReplyStream`, and whoever asked reads it to its end.

It lives in this process only. Nothing happens before the first piece is asked for; from then on the work is done in the
reader's task, and ends with the reader: leaving the stream stops what makes it, and settles what there is to settle.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar, get_args, get_origin

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of a text; never empty."""

    text: str


def is_stream(reply: Any) -> bool:  # Any: a reply's type as declared
    return get_origin(reply) is ReplyStream


def whole_type(reply: Any) -> Any:  # Any: as above
    """`ReplyStream[RunResult]` → `RunResult`; any other type is its own whole."""
    return get_args(reply)[0] if is_stream(reply) else reply


class ReplyStream(Generic[T]):
    """Deltas in order, and then the whole reply as the last item, once. Read it in `async with`."""

    def __init__(self, items: AsyncGenerator[Delta | T, None]) -> None:
        self._items = items

    async def __aenter__(self) -> ReplyStream[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Delta | T]:
        return self._items

    async def aclose(self) -> None:
        """Stop at once; returns when what there was to settle is settled."""
        await self._items.aclose()

    async def whole(self) -> T:
        """Read to the end, and answer the reply."""
        async with self:
            async for item in self._items:
                if not isinstance(item, Delta):
                    return item
        raise RuntimeError("the stream ended without its reply")

    def then(self, change: Callable[[T], U]) -> ReplyStream[U]:
        """The same stream with another reply at its end; what `change` raises ends it."""

        async def items() -> AsyncGenerator[Delta | U, None]:
            async with aclosing(self._items):
                async for item in self._items:
                    yield item if isinstance(item, Delta) else change(item)

        return ReplyStream(items())
