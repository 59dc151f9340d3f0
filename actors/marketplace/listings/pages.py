"""Pages of the market in this process's memory: bounded, and forgotten all together when any listing changes.

The change stream says that one has; of its own writes this process knows before they are committed, and keeps nothing
that it reads until they are, since that may be from before the commit. While the stream is silent nothing is answered
from here: nobody would hear of a change.
"""

from __future__ import annotations

from collections.abc import Callable

from cachetools import LRUCache

from promptforge.actors.marketplace.listings.messages import ListingsPage, ListListings
from promptforge.actors.marketplace.messages import ListingView
from promptforge.core.context import Context

MAX_CHARACTERS = 16_000_000
"""Of all pages together."""
LISTING_OVERHEAD = 1_000
"""Characters that a listing counts for besides its texts."""


class MarketPages:
    """`trusted` says whether changes are being heard of."""

    def __init__(self, trusted: Callable[[], bool] = lambda: False, *, max_characters: int = MAX_CHARACTERS) -> None:
        self._trusted = trusted
        self._pages: LRUCache[ListListings, ListingsPage] = LRUCache(max_characters, getsizeof=_size)
        self._changes = 0
        self._uncommitted = 0

    def find(self, message: ListListings) -> ListingsPage | None:
        return self._pages.get(message) if self._trusted() else None

    def begin(self) -> int:
        """To be called before reading what is to be kept."""
        return self._changes

    def keep(self, begun: int, message: ListListings, page: ListingsPage) -> None:
        """Keep what was read since `begun`, unless something changed meanwhile or is about to."""
        settled = begun == self._changes and not self._uncommitted
        if settled and self._trusted() and _size(page) <= self._pages.maxsize:
            self._pages[message] = page

    def changing(self, tx: Context) -> None:
        """A listing is written in this transaction."""
        self.clear()
        if tx.session is not None:
            self._uncommitted += 1
            tx.after_attempt(self._changed)

    def _changed(self) -> None:
        self._uncommitted -= 1
        self.clear()

    def clear(self) -> None:
        """A listing has changed, or changes may have been missed."""
        self._changes += 1
        self._pages.clear()


def _size(page: ListingsPage) -> int:
    return LISTING_OVERHEAD + sum(map(_size_of_listing, page.items))


def _size_of_listing(listing: ListingView) -> int:
    return LISTING_OVERHEAD + len(listing.title) + len(listing.summary) + len(listing.description)
