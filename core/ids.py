"""Identifiers: a prefix that says what it is, and a ULID, so that ids sort by the time they were made."""

from __future__ import annotations

from ulid import ULID


def new_id(prefix: str) -> str:
    """A fresh id such as `lst_01jd…`: 26 lower-case characters of Crockford base 32 after the prefix."""
    return f"{prefix}_{str(ULID()).lower()}"
