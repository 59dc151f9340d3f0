"""Listings as visitors see them, in this process's memory: bounded, and known again by the revision they are of.

Which listings a page has is read anew each time, with what tells whether one has changed since it was read: its
revision, and what changes without one. So nobody has to say that something has changed, and no change is missed.
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

Stamp = tuple[str, int, int, int, bool]


class ShownListings:
    def __init__(self, *, max_characters: int = MAX_CHARACTERS) -> None:
        self._views: LRUCache[Stamp, ListingView] = LRUCache(max_characters, getsizeof=size_of)

    def find(self, row: Document) -> ListingView | None:
        """The listing of a row, whole or with its `STAMP` only."""
        return self._views.get(_stamp(row))

    def keep(self, row: Document, view: ListingView) -> None:
        if size_of(view) <= self._views.maxsize:
            self._views[_stamp(row)] = view


def size_of(listing: ListingView) -> int:
    """In characters, about."""
    return LISTING_OVERHEAD + len(listing.title) + len(listing.summary) + len(listing.description)


def _stamp(row: Document) -> Stamp:
    rating, evidence = row.get("rating") or {}, row.get("evidence") or {}
    gone = bool(evidence.get("dataset_gone"))
    return row["_id"], row["revision"], rating.get("count", 0), rating.get("stars", 0), gone
