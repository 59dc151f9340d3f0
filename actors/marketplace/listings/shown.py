"""Listings as visitors see them, in this process's memory: bounded, and known again by the revision they are of.

What tells whether one has changed since it was read is read anew: its revision, and what changes without one. So nobody
has to say that something has changed, and no change is missed.
"""

from __future__ import annotations

from cachetools import LRUCache

from promptforge.actors.marketplace.messages import ListingView
from promptforge.core.mongo import Document

MAX_CHARACTERS = 16_000_000
"""Of all listings together."""
LISTING_OVERHEAD = 1_000
"""Characters that a listing counts for besides its texts."""
STAMP: Document = {"revision": 1, "rating": 1, "evidence.dataset_gone": 1}
"""What has to be read of a listing to know it again."""

Stamp = tuple[int, int, int, bool]
_Shown = tuple[Stamp, ListingView]


class ShownListings:
    def __init__(self, *, max_characters: int = MAX_CHARACTERS) -> None:
        self._known: LRUCache[str, _Shown] = LRUCache(max_characters, getsizeof=_size)

    def __contains__(self, listing_id: str) -> bool:
        """Whether it is known as it was at some time."""
        return listing_id in self._known

    def find(self, row: Document) -> ListingView | None:
        """The listing of a row, whole or with its `STAMP` only."""
        stamp, view = self._known.get(row["_id"], (None, None))
        return view if stamp == _stamp(row) else None

    def keep(self, row: Document, view: ListingView) -> None:
        if size_of(view) <= self._known.maxsize:
            self._known[row["_id"]] = _stamp(row), view


def size_of(listing: ListingView) -> int:
    """In characters, about."""
    return LISTING_OVERHEAD + len(listing.title) + len(listing.summary) + len(listing.description)


def _size(shown: _Shown) -> int:
    return size_of(shown[1])


def _stamp(row: Document) -> Stamp:
    rating, evidence = row.get("rating") or {}, row.get("evidence") or {}
    gone = bool(evidence.get("dataset_gone"))
    return row["revision"], rating.get("count", 0), rating.get("stars", 0), gone
