"""What an account of the service before this one begins with, and why some begin with nothing.

That service kept one number for each user, and did not say whether it was bought or given. So what is above zero is
granted credits, which can be spent and never paid out, and what is below is a debt. No row of its history is taken as
proof of a payment: it accepted events without a signature, and wrote rows that no other row had to match.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from bson.decimal128 import Decimal128

from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, Owed, Platform
from promptforge.core.amounts import MILLI

MARK = "before_ledger"
"""The field of documents of the service before, with what they were and why they do not count."""
MOST_CREDITS = 10**9
"""What the API takes as an amount is below it, too."""
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)


class Unreadable(StrEnum):
    """Why a stored number of credits is not taken over."""

    NOT_A_NUMBER = "not_a_number"
    TOO_LARGE = "too_large"


def opening_key(user_id: str) -> str:
    return f"opening:{user_id}"


def read_credits(stored: object) -> int | Unreadable:
    """A stored number of credits in millicredits, rounded to the nearest; what is absent is 0.

    Decimal text is a number, for it is exact; nothing else that is not one is guessed at. A float is what it shows:
    0.1 is a tenth.
    """
    if stored is None:
        return 0
    number = _decimal(stored)
    if number is None or not number.is_finite():
        return Unreadable.NOT_A_NUMBER
    if abs(number) >= MOST_CREDITS:
        return Unreadable.TOO_LARGE
    return int((number * MILLI).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _decimal(stored: object) -> Decimal | None:
    if isinstance(stored, bool):
        return None
    if isinstance(stored, int):
        return Decimal(stored)
    if isinstance(stored, float):
        return Decimal(repr(stored))
    if isinstance(stored, Decimal128):
        return stored.to_decimal()
    if isinstance(stored, str) and _DECIMAL.fullmatch(stored.strip()):
        return Decimal(stored.strip())
    return None


def opening_journal(user_id: str, amount: int) -> Journal | None:
    """Millicredits, below zero for a debt; None for nothing."""
    if amount == 0:
        return None
    key = opening_key(user_id)
    mine = Leg(Fund.GRANTED, amount, user_id, lot=key) if amount > 0 else Leg(Owed.DEBT, amount, user_id)
    return Journal(key, JournalKind.OPENING, {}, (Leg(Platform.OPENING, -amount), mine), (user_id,))
