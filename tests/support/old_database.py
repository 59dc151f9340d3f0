"""A generated database of the service before: its shapes of ids, its numbers of credits, whole and broken, its indexes.

Everything is computed from the number of a user, so that what an upgrade has to make of them is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from bson import ObjectId
from bson.decimal128 import Decimal128

from promptforge.core.mongo import Mongo

START = datetime(2025, 1, 1, tzinfo=UTC)
BATCH = 2_000
WEIRD: tuple[tuple[Any, str], ...] = (
    ("abc", "not_a_number"),
    (math.nan, "not_a_number"),
    (-math.inf, "not_a_number"),
    (True, "not_a_number"),
    ({"amount": 5}, "not_a_number"),
    (1e15, "too_large"),
)
"""Every seventeenth user has one of these for credits."""
SOUND: tuple[tuple[Any, int], ...] = (
    (100, 100_000),
    (12.5, 12_500),
    (0.1 + 0.2, 300),
    (12.299999999999999, 12_300),
    (-7, -7_000),
    ("12.5", 12_500),
    (Decimal128("3.0005"), 3_000),
    (0, 0),
    (None, 0),
)
EVERY_LISTING, EVERY_EVENT, ROWS_EACH = 20, 10, 3

Row = dict[str, Any]  # Any: BSON values


def is_weird(number: int) -> bool:
    return number % 17 == 16


def stored_credits(number: int) -> Any:  # Any: whatever people have let into a database
    return WEIRD[number // 17 % len(WEIRD)][0] if is_weird(number) else SOUND[number % len(SOUND)][0]


def expected_reason(number: int) -> str | None:
    return WEIRD[number // 17 % len(WEIRD)][1] if is_weird(number) else None


def expected_credits(number: int) -> int:
    """In millicredits."""
    return 0 if is_weird(number) else SOUND[number % len(SOUND)][1]


def old_id(number: int) -> Any:  # Any: an ObjectId, a number or a text
    made = int((START + timedelta(minutes=number)).timestamp())
    return (ObjectId(f"{made:08x}{number:016x}"), number, f"u-{number}")[number % 3]


def user(number: int) -> Row:
    row = {
        "_id": old_id(number),
        "uid": f"uid{number}",
        "email": f"user{number}@example.com",
        "name": f"User {number}",
        "role": "admin",
        "credits": stored_credits(number),
        "created_at": START + timedelta(minutes=number),
    }
    if number % len(SOUND) == len(SOUND) - 1 and not is_weird(number):
        del row["credits"]
    return row


def history(number: int) -> Iterator[Row]:
    """Rows that name their user in each of the three ways there are, and now and then somebody unknown."""
    names = (f"uid{number}", old_id(number), str(old_id(number)))
    for index in range(ROWS_EACH):
        yield {
            "_id": ObjectId(f"{number:012x}{index:012x}"),
            "user_id": "gone" if number % 50 == 0 and index == 0 else names[index],
            "amount": 5.5 if index else -5,
            "type": "purchase" if index else "spend",
            "created_at": START + timedelta(minutes=number, seconds=index),
        }


def listings(number: int) -> Iterator[Row]:
    if number % EVERY_LISTING == 0:
        yield {
            "_id": ObjectId(f"{number:024x}"),
            "seller_id": "gone" if number % 1000 == 500 else f"uid{number}",
            "title": f"Prompt {number}",
            "price": 12.5,
            "category": "coding",
            "created_at": START + timedelta(minutes=number),
        }


def events(number: int) -> Iterator[Row]:
    if number % EVERY_EVENT == 0:
        more: Row = {"processed": False} if number % 100 == 0 else {"livemode": False, "type": "payment.made"}
        yield {"_id": ObjectId(f"{number:024x}"), "event_id": f"evt_{number}", "received_at": START, **more}


async def fill(mongo: Mongo, users: int) -> None:
    """So many users with all that belongs to them, and the indexes of the service before."""
    makers: dict[str, Callable[[int], Iterator[Row]]] = {
        "users": lambda number: iter((user(number),)),
        "transactions": history,
        "marketplace_listings": listings,
        "webhook_events": events,
        "usage": lambda number: iter(({"_id": number, "user_id": f"uid{number}"},)),
    }
    for name, make in makers.items():
        rows = (row for number in range(users) for row in make(number))
        while batch := list(islice(rows, BATCH)):
            await mongo.collection(name).insert_many(batch, ordered=False)
    raw = mongo.raw
    await raw["users"].create_index([("uid", 1)], sparse=True)
    await raw["transactions"].create_index([("user_id", 1), ("created_at", 1)], name="history")
    await raw["marketplace_listings"].create_index([("seller_id", 1), ("created_at", -1)], name="by_seller")
    await raw["usage"].create_index([("user_id", 1), ("timestamp", 1)])
    await raw["webhook_events"].create_index([("event_id", 1)])
