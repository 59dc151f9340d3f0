"""Replies that are files: a query answers a `Download`, and whoever asked reads what they want of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Download:
    """A file. `tag` names its content: another content has another one. `read(start, end)` is read once, in order.

    The name is of ASCII letters, digits, dots, dashes and underscores. `begin` is awaited before the first byte leaves,
    and only where one is going to: who looks, or has the file already, has not taken it. What it raises is the reply.
    """

    name: str
    media_type: str
    size: int
    tag: str
    read: Callable[[int, int], AsyncGenerator[bytes, None]]
    begin: Callable[[], Awaitable[object]] | None = None


def is_download(reply: Any) -> bool:  # Any: a reply's type as declared
    return reply is Download
