"""What a command answers that makes a thing, or finds that there is one already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args, get_origin

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """`value`, and whether it is `new`. Over HTTP the value alone is told: 201 where it is new, else 200."""

    value: T
    new: bool = True


def made_of(reply: Any) -> Any:  # Any: a type as declared
    """`Made[T]` → `T`; None for any other type."""
    return get_args(reply)[0] if get_origin(reply) is Made else None
