"""Browsing: filters and sorts of the published listings, each sort served by an index, and cursors that hold still.

A cursor names the value and the id of the last listing shown; the next page begins behind them, whatever came or went.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptforge.actors.marketplace.listings.messages import ListingSort, ListListings
from promptforge.actors.marketplace.messages import (
    ListingState,
)
from promptforge.core.amounts import to_millicredits
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.mongo import Document, Index
from promptforge.core.pages import Cursor

PUBLISHED = {"state": ListingState.PUBLISHED.value}
SORTS: dict[ListingSort, tuple[str, int]] = {
    ListingSort.NEW: ("published_at", -1),
    ListingSort.PRICE: ("price", 1),
    ListingSort.TOP_RATED: ("ranks.rated", -1),
    ListingSort.BEST_SELLING: ("ranks.sales", -1),
    ListingSort.TRENDING: ("ranks.trending", -1),
}
"""By which field, and in which direction; of equals the id decides."""
NO_RANKS = {"trending": 0, "sales": 0, "rated": 0, "average": 0}


def _index(sort: ListingSort, narrowed: tuple[str, ...]) -> Index:
    field, direction = SORTS[sort]
    return Index((*((name, 1) for name in narrowed), (field, direction), ("_id", direction)), partial=PUBLISHED)


_NARROWED: tuple[tuple[str, ...], ...] = ((), ("category",), ("tags",))
INDEXES: tuple[Index, ...] = tuple(_index(sort, narrowed) for sort in SORTS for narrowed in _NARROWED)
_MOST_DIGITS = 18


def sort_of(message: ListListings) -> ListingSort:
    """What is newest, where nobody says otherwise."""
    return message.sort or ListingSort.NEW


def order(sort: ListingSort) -> list[tuple[str, int]]:
    field, direction = SORTS[sort]
    return [(field, direction), ("_id", direction)]


def _wanted(message: ListListings) -> Document:
    found: Document = dict(PUBLISHED)
    if message.category is not None:
        found["category"] = message.category.value
    if message.tag is not None:
        found["tags"] = message.tag
    if message.licence is not None:
        found["licence"] = message.licence.value
    if message.min_rating is not None:
        found["ranks.average"] = {"$gte": round(message.min_rating * 1000)}
    if price := _price(message):
        found["price"] = price
    return found


def fields_of(message: ListListings) -> frozenset[str]:
    """What of a listing decides whether it is in a list, and where."""
    return frozenset((*_wanted(message), SORTS[sort_of(message)][0]))


def index_for(message: ListListings) -> str | None:
    """The name of the index that a page is read from; None where the planner finds the best one.

    It is said where the index has all that is asked for, because the planner tries what could do and keeps what was
    best for the first pages: another index, or this one from its beginning. Filters that it does not have can leave few
    of many listings, whom another index finds sooner.
    """
    if message.licence is not None or message.min_rating is not None:
        return None
    if sort_of(message) is not ListingSort.PRICE and _price(message):
        return None
    narrowed = ("tags",) if message.tag is not None else ("category",) if message.category is not None else ()
    return _index(sort_of(message), narrowed).name


def stretches(message: ListListings) -> list[Document]:
    """The filters of one page, one after the other: the rest of the cursor's equals, and what is beyond them.

    Each is one stretch of the index, so that a page reads what it shows, however deep it is and however many have the
    same value. Raises `Invalid` for a cursor that this list did not give out.
    """
    filters = _wanted(message)
    if message.cursor is None:
        return [filters]
    return [{"$and": [filters, behind]} for behind in _behind(sort_of(message), message.cursor)]


def cursor_of(sort: ListingSort, row: Document) -> str:
    value = _value(row, SORTS[sort][0])
    return Cursor(value, row["_id"]).encode() if sort is ListingSort.NEW else f"{value}.{row['_id']}"


def _price(message: ListListings) -> Document:
    if message.free:
        return {"$eq": 0}
    limits = (("$gte", message.min_price), ("$lte", message.max_price))
    return {operator: to_millicredits(price) for operator, price in limits if price is not None}


def _behind(sort: ListingSort, token: str) -> list[Document]:
    field, direction = SORTS[sort]
    beyond = "$lt" if direction < 0 else "$gt"
    if sort is ListingSort.NEW:
        seen = Cursor.decode(token)
        value, identifier = seen.created_at, seen.id
        return [{field: value, "_id": {beyond: identifier}}, {field: {beyond: value}}]
    number, identifier = _numbered(token)
    return [{field: number, "_id": {beyond: identifier}}, {field: {beyond: number}}]


def _numbered(token: str) -> tuple[int, str]:
    value, _, identifier = token.partition(".")
    if not value.isascii() or not value.isdecimal() or len(value) > _MOST_DIGITS or not identifier:
        error = FieldError("Not a cursor of this list: use `next` of the page before", "cursor", parameter="cursor")
        raise Invalid("The cursor is not valid", errors=(error,))
    return int(value), identifier


def _value(row: Mapping[str, Any], path: str) -> Any:  # Any: what is stored there
    for name in path.split("."):
        row = row[name]
    return row
