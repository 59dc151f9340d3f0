"""Identifiers: a prefix that says what it is, and a ULID, so that ids sort by the time they were made."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime

from ulid import ULID

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
COUNTED = len(_PAIRS) ** 2
_TIME = 10
"""So many characters of a ULID are its time, in milliseconds."""


def new_id(prefix: str) -> str:
    """A fresh id such as `lst_01jd…`: 26 lower-case characters of Crockford base 32 after the prefix."""
    return f"{prefix}_{str(ULID()).lower()}"


def least_id(prefix: str, at: datetime) -> str:
    """What sorts before all ids that are made at that moment or later, and after those from before."""
    return f"{prefix}_{str(ULID.from_datetime(at)).lower()[:_TIME]}"


def new_ids(prefix: str, number: int) -> Iterator[str]:
    """Many fresh ids at a fifth of the cost, in ascending order: a ULID's time, 60 random bits, and a count.

    The random bits are drawn here: two ULIDs of one millisecond differ in their last character only.
    """
    if number > COUNTED:
        raise ValueError(f"at most {COUNTED} ids at once")
    bits = secrets.randbits(60)
    stem = new_id(prefix)[:-16] + "".join(_PAIRS[bits >> shift & 1023] for shift in range(0, 60, 10))
    return (stem + _PAIRS[index >> 10] + _PAIRS[index & 1023] for index in range(number))
