"""Credits: millicredits (int) inside, decimal strings with up to three places outside."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MILLI = 1000

CreditAmount = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,3})?$",
        examples=["5", "12.5"],
        description="Credits as a decimal string with at most three places",
    ),
]
"""An amount of credits as the API takes it: not negative, below 10⁹."""

PositiveCreditAmount = Annotated[
    str,
    Field(
        pattern=r"^([1-9][0-9]{0,8}(\.[0-9]{1,3})?|0\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))$",
        examples=["5", "12.5"],
        description="Credits as a decimal string with at most three places, above zero",
    ),
]
"""The same without zero."""


def to_millicredits(credits: str) -> int:
    """`"12.5"` → 12500. The text has the shape of `CreditAmount`; no float is ever involved."""
    whole, _, fraction = credits.partition(".")
    return int(whole) * MILLI + int((fraction + "000")[:3])


def from_millicredits(amount: int) -> str:
    """12500 → `"12.5"`; negative amounts carry a leading minus."""
    whole, fraction = divmod(abs(amount), MILLI)
    text = f"{whole}.{fraction:03d}".rstrip("0").rstrip(".")
    return f"-{text}" if amount < 0 else text
