"""Cursor pagination over `(created_at, id)`, newest first: stable while rows are added."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from annotated_types import Ge, Le, Len

from promptforge.core.errors import FieldError, Invalid

T = TypeVar("T")

Limit = Annotated[int, Ge(1), Le(100)]
CursorToken = Annotated[str, Len(1, 200)]
DEFAULT_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next` is the cursor of the following page, or null on the last."""

    items: tuple[T, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Scan(Generic[T]):
    """A piece of everything, for a feature that reads all of it: `next` is where the following piece begins.

    `total` comes with the first piece: about how much there is.
    """

    rows: tuple[T, ...]
    next: str | None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row somebody has seen."""

    created_at: datetime
    id: str

    def encode(self) -> str:
        milliseconds = int(self.created_at.timestamp() * 1000)
        return base64.urlsafe_b64encode(f"{milliseconds}:{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, token: str) -> Cursor:
        """Raises `Invalid` for anything that `encode` did not make."""
        try:
            text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
            milliseconds, _, identifier = text.partition(":")
            if not identifier:
                raise ValueError("no id")  # noqa: TRY301  # caught right below, with the other ways to be wrong
            return cls(datetime.fromtimestamp(int(milliseconds) / 1000, UTC), identifier)
        except (binascii.Error, ValueError, OverflowError, OSError):
            error = FieldError("Not a cursor of this list: use `next` of the page before", "cursor", parameter="cursor")
            raise Invalid("The cursor is not valid", errors=(error,)) from None

    @classmethod
    def decode_optional(cls, token: str | None) -> Cursor | None:
        return None if token is None else cls.decode(token)

    def after(self) -> dict[str, Any]:  # Any: a MongoDB filter
        """The filter for the rows that follow this one, to be used with the sort `(created_at, _id)` descending."""
        return {
            "$or": [
                {"created_at": {"$lt": self.created_at}},
                {"created_at": self.created_at, "_id": {"$lt": self.id}},
            ]
        }


def page_of(rows: Sequence[dict[str, Any]], limit: int, view: Callable[[dict[str, Any]], T]) -> Page[T]:
    """Make a page from `limit + 1` fetched rows: the extra row only tells that there is more."""
    shown = rows[:limit]
    following = Cursor(shown[-1]["created_at"], shown[-1]["_id"]).encode() if len(rows) > limit else None
    return Page(tuple(view(row) for row in shown), following)
