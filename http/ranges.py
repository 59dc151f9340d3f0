"""Which part of a file a request asks for (RFC 9110, 14): one range of bytes, or all of it.

What cannot be read, another unit, and several ranges at once are answered with the whole, as the RFC allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from promptforge.http.errors import RangeNotSatisfiable

_ONE = re.compile(rb"bytes[ \t]*=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_LONGEST = 18
"""Digits; a larger number is as good as endless."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `start` to before `end`."""

    start: int
    end: int


def part_of(header: bytes | None, size: int) -> Part | None:
    """None: the whole. Raises `RangeNotSatisfiable`."""
    found = _ONE.fullmatch(header) if header is not None else None
    if found is None or found[1] == found[2] == b"":
        return None
    first, last = found[1], found[2]
    if not first:  # the last so many bytes
        length = min(_number(last), size)
        if length == 0:
            raise RangeNotSatisfiable(size)
        return Part(size - length, size)
    start = _number(first)
    if last and _number(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return Part(start, min(_number(last) + 1, size) if last else size)


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= _LONGEST else 10**_LONGEST


def still_the_same(header: bytes | None, tag: bytes) -> bool:
    """Whether If-Range allows a part: it names this content, strongly. A date says too little, and does not."""
    return header is None or header.strip() == tag
