"""Replies as JSON bytes. Times are RFC 3339 in UTC; one without a time zone is a bug and is refused, not guessed."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_type_hints

import orjson

_SCALARS = (str, int, float, bool, bytes, Decimal, date, type(None))
_plans: dict[type, tuple[str, ...]] = {}
"""Per class, the fields in which a time may be; classes are few, and made once."""


def encode(value: object) -> bytes:
    """The JSON of a view. Raises `TypeError` or `ValueError` for what no view may hold."""
    refuse_naive_times(value)
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def refuse_naive_times(value: object) -> None:
    """Raise `ValueError` where a time in `value` has no zone. Fields that cannot hold a time are not looked at."""
    cls = type(value)
    if cls is datetime:
        if value.tzinfo is None:  # type: ignore[attr-defined]  # it is a datetime: `cls` says so
            raise ValueError("a reply holds a time without a zone")
    elif cls is tuple or cls is list:
        for item in value:  # type: ignore[attr-defined]  # as above
            refuse_naive_times(item)
    elif cls is dict:
        for item in value.values():  # type: ignore[attr-defined]  # as above
            refuse_naive_times(item)
    else:
        plan = _plans.get(cls)
        for name in _plan(cls) if plan is None else plan:
            refuse_naive_times(getattr(value, name))


def _plan(cls: type) -> tuple[str, ...]:
    if not dataclasses.is_dataclass(cls):
        names: tuple[str, ...] = ()
    else:
        hints = get_type_hints(cls)
        names = tuple(field.name for field in dataclasses.fields(cls) if _may_hold_time(hints[field.name]))
    _plans[cls] = names
    return names


def _may_hold_time(hint: Any) -> bool:  # Any: an annotation
    arguments = get_args(hint)
    if arguments:
        return any(_may_hold_time(argument) for argument in arguments if argument is not Ellipsis)
    if hint is datetime or not isinstance(hint, type):
        return True
    return not issubclass(hint, (*_SCALARS, Enum))
