"""What a row consists of: columns with a kind each, which formats write in their own ways."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

Row = tuple[Any, ...]  # Any: a value for each column, of its kind


class Kind(Enum):
    """`CREDITS` are decimal strings with up to three places, `MOMENT` datetimes in UTC."""

    TEXT = auto()
    INTEGER = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    MOMENT = auto()
    CREDITS = auto()


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind = Kind.TEXT


def columns(**kinds: Kind) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name, kind in kinds.items())
