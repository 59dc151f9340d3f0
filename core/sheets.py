"""Tables that leave as files: read row by row, so that they may be of any length."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

Value = str | int | date | datetime | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """`name` is the file's, without an ending. The first row is asked for before anything is sent."""

    name: str
    columns: tuple[str, ...]
    rows: AsyncIterator[Sequence[Value]]
