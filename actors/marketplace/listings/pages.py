"""Pages of the market in this process's memory: bounded, and forgotten when a listing changes and that concerns them.

That is a page that shows it, and every page of a list whose filters or order go by a field that was changed. Pages of
all other lists are as they were. What the search index has found is a page as long as the index finds the same. Single
listings are kept too, until they change.

The change stream says what was changed; of its own writes this process knows before they are committed, and forgets
everything then, and keeps nothing that it reads until they are, since that may be from before the commit. While the
stream is silent nothing is answered from here: nobody would hear of a change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from cachetools import Cache, LRUCache

from promptforge.actors.marketplace.listings import browsing
from promptforge.actors.marketplace.listings.messages import ListingsPage, ListListings
from promptforge.actors.marketplace.listings.shown import size_of
from promptforge.actors.marketplace.messages import ListingView
from promptforge.actors.search.messages import FoundListings
from promptforge.core.context import Context

MAX_CHARACTERS = 16_000_000
"""Of all pages together, and of all single listings."""
PAGE_OVERHEAD = 2_000
"""Characters that a page counts for, with its question, besides its listings."""
VALUE_OVERHEAD = 200
"""For each value that was counted for a facet."""
MOST_CHANGES = 2_000
"""That are known one by one. What was read before more of them is not kept."""
DECIDING = frozenset(
    {"state", "category", "tags", "licence", "price", *(field for field, _ in browsing.SORTS.values()), "ranks.average"}
)
"""Fields that lists go by."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A page, the listings that it is made of, and the fields that its list goes by, or what the index has found."""

    page: ListingsPage
    shown: frozenset[str]
    fields: frozenset[str]
    found: FoundListings | None = None

    @classmethod
    def of(cls, message: ListListings, page: ListingsPage, found: FoundListings | None) -> _Known:
        if found is not None:
            return cls(page, frozenset(found.ids), frozenset(), found)
        return cls(page, frozenset(one.id for one in page.items), browsing.fields_of(message))

    def concerned(self, listings: Iterable[str], fields: Iterable[str]) -> bool:
        return not (self.shown.isdisjoint(listings) and self.fields.isdisjoint(fields))


class _Change(NamedTuple):
    listing_id: str
    fields: frozenset[str]


class MarketPages:
    """`trusted` says whether changes are being heard of."""

    def __init__(self, trusted: Callable[[], bool] = lambda: False, *, max_characters: int = MAX_CHARACTERS) -> None:
        self._trusted = trusted
        self._pages: LRUCache[ListListings, _Known] = LRUCache(
            max_characters, getsizeof=lambda known: _size(known.page)
        )
        self._listings: LRUCache[str, ListingView] = LRUCache(max_characters, getsizeof=size_of)
        self._changes = 0
        self._latest: deque[_Change] = deque(maxlen=MOST_CHANGES)
        """The latest of them."""
        self._looked_at = 0
        """How many changes there had been when pages were last forgotten because of them."""
        self._cleared = 0
        """How many there had been when all pages were."""
        self._uncommitted = 0

    def find(self, message: ListListings, found: FoundListings | None = None) -> ListingsPage | None:
        """`found`: what the search index has found for it, the same object as when the page was made."""
        self._forget()
        known = self._pages.get(message) if self._trusted() else None
        return None if known is None or known.found is not found else known.page

    def find_listings(self, listing_ids: Iterable[str]) -> dict[str, ListingView]:
        """Those of them that are known as they are on the market now."""
        self._forget()
        if not self._trusted():
            return {}
        return {one: view for one in listing_ids if (view := self._listings.get(one)) is not None}

    def begin(self) -> int:
        """To be called before reading what is to be kept."""
        return self._changes

    def keep(self, begun: int, message: ListListings, page: ListingsPage, found: FoundListings | None = None) -> None:
        """Keep what was read since `begun`, unless something that concerns it changed meanwhile or is about to."""
        if _size(page) > self._pages.maxsize:
            return
        known, since = _Known.of(message, page, found), self._changed_since(begun)
        if since is not None and not any(known.concerned((one.listing_id,), one.fields) for one in since):
            self._pages[message] = known

    def keep_listings(self, begun: int, listings: Mapping[str, ListingView]) -> None:
        """The same for listings of the market."""
        if (since := self._changed_since(begun)) is not None:
            changed = {one.listing_id for one in since}
            for listing_id, view in listings.items():
                if listing_id not in changed and size_of(view) <= self._listings.maxsize:
                    self._listings[listing_id] = view

    def _changed_since(self, begun: int) -> list[_Change] | None:
        """None where nothing may be kept that was read since."""
        if self._uncommitted or begun < self._cleared or not self._trusted():
            return None
        self._forget()
        return self._since(begun)

    def changing(self, tx: Context) -> None:
        """A listing is written in this transaction."""
        self.clear()
        if tx.session is not None:
            self._uncommitted += 1
            tx.after_attempt(self._changed)

    def _changed(self) -> None:
        self._uncommitted -= 1
        self.clear()

    def changed(self, listing_id: str, updated: Iterable[str]) -> None:
        """These fields of a listing, by their paths, have been changed."""
        self._changes += 1
        self._latest.append(_Change(listing_id, frozenset().union(*map(_decided_by, updated))))

    def clear(self) -> None:
        """Listings came or went, or changes may have been missed."""
        self._changes += 1
        self._latest.append(_Change("", frozenset()))  # for its count: nobody asks what was before it
        self._looked_at = self._cleared = self._changes
        self._pages.clear()
        self._listings.clear()

    def _forget(self) -> None:
        """What is concerned by changes since the last time: once for all of them, for there may be very many."""
        if self._looked_at == self._changes:
            return
        since = self._since(self._looked_at)
        self._looked_at = self._changes
        if since is None:
            self._pages.clear()
            self._listings.clear()
            return
        listings, fields = {one.listing_id for one in since}, frozenset[str]().union(*(one.fields for one in since))
        for message in list(self._pages):
            if Cache.__getitem__(self._pages, message).concerned(listings, fields):  # it is not used by that
                del self._pages[message]
        for listing_id in listings:
            self._listings.pop(listing_id, None)

    def _since(self, begun: int) -> list[_Change] | None:
        """The changes after so many; None where not all of them are known any more."""
        missing = self._changes - begun
        if missing > len(self._latest):
            return None
        return [self._latest[-at] for at in range(1, missing + 1)]


@lru_cache(1_000)
def _decided_by(path: str) -> frozenset[str]:
    """What lists go by of a path that was changed: it, what is in it, or what it is in."""
    return frozenset(
        field for field in DECIDING if field == path or field.startswith(f"{path}.") or path.startswith(f"{field}.")
    )


def _size(page: ListingsPage) -> int:
    counted = sum(len(facet.values) for facet in page.facets or ())
    return PAGE_OVERHEAD + VALUE_OVERHEAD * counted + sum(map(size_of, page.items))
