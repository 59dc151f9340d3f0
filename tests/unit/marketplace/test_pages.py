"""Pages of the market that are remembered: bounded, forgotten at any change, silent where none would be heard of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from promptforge.actors.marketplace.listings.browsing import fields_of
from promptforge.actors.marketplace.listings.messages import ListingSort, ListingsPage, ListListings
from promptforge.actors.marketplace.listings.pages import DECIDING, MOST_CHANGES, PAGE_OVERHEAD, MarketPages
from promptforge.actors.marketplace.listings.shown import LISTING_OVERHEAD
from promptforge.actors.marketplace.messages import Category, Licence, ListingState, ListingView, RatingView
from promptforge.actors.search.messages import Facet, FacetCount, FoundListings, IndexState, Match
from promptforge.core.context import Context

NOW = datetime(2026, 11, 26, tzinfo=UTC)
NEWEST = ListListings()


def page(title: str, listing_id: str = "lst_a") -> ListingsPage:
    listing = ListingView(
        id=listing_id,
        seller_id="usr_a",
        state=ListingState.PUBLISHED,
        revision=1,
        prompt_id="prm_a",
        version=1,
        title=title,
        summary="",
        description="",
        category=Category.WRITING,
        tags=(),
        price="1",
        licence=Licence.SOURCE,
        review=None,
        created_at=NOW,
        updated_at=NOW,
        published_at=NOW,
        rating=RatingView(0, None),
    )
    return ListingsPage((listing,), None)


def found(*listing_ids: str) -> FoundListings:
    """What the search index has found."""
    return FoundListings(listing_ids, None, len(listing_ids), (), Match.ALL_WORDS, IndexState.READY)


def trusted(**more: int) -> MarketPages:
    return MarketPages(lambda: True, **more)


class Transaction:
    """Stands for the context of one: it runs what waits for its end."""

    session = object()

    def __init__(self) -> None:
        self._ends: list[Callable[[], None]] = []

    def after_attempt(self, callback: Callable[[], None]) -> None:
        self._ends.append(callback)

    def end(self) -> None:
        while self._ends:
            self._ends.pop()()


def test_each_list_has_a_page_of_its_own_until_something_changes() -> None:
    pages = trusted()
    pages.keep(pages.begin(), NEWEST, page("newest"))
    pages.keep(pages.begin(), ListListings(category=Category.WRITING), page("writing"))
    assert pages.find(NEWEST) == page("newest")
    assert pages.find(ListListings(category=Category.WRITING)) == page("writing")
    assert pages.find(ListListings(limit=7)) is None
    pages.clear()
    assert pages.find(NEWEST) is None


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    pages = trusted()
    begun = pages.begin()
    pages.clear()
    pages.keep(begun, NEWEST, page("as it was before"))
    assert pages.find(NEWEST) is None


def test_what_is_read_while_a_change_is_not_yet_committed_is_not_kept() -> None:
    pages, one, other = trusted(), Transaction(), Transaction()
    pages.keep(pages.begin(), NEWEST, page("before"))
    pages.changing(cast("Context", one))
    assert pages.find(NEWEST) is None
    pages.changing(cast("Context", other))
    begun = pages.begin()
    one.end()
    pages.keep(pages.begin(), NEWEST, page("read beside the other transaction"))
    assert pages.find(NEWEST) is None
    other.end()
    pages.keep(begun, NEWEST, page("begun beside a transaction, and read after it"))
    assert pages.find(NEWEST) is None
    pages.keep(pages.begin(), NEWEST, page("after"))
    assert pages.find(NEWEST) == page("after")


def test_while_no_change_would_be_heard_of_nothing_is_known() -> None:
    heard = True
    pages = MarketPages(lambda: heard)
    pages.keep(pages.begin(), NEWEST, page("known"))
    heard = False
    assert pages.find(NEWEST) is None
    pages.keep(pages.begin(), ListListings(limit=3), page("read meanwhile"))
    heard = True
    assert pages.find(ListListings(limit=3)) is None
    assert MarketPages().find(NEWEST) is None


def test_there_are_only_so_many() -> None:
    pages = trusted(max_characters=5 * (PAGE_OVERHEAD + LISTING_OVERHEAD) + 500)
    for limit in range(1, 50):
        pages.keep(pages.begin(), ListListings(limit=limit), page("x"))
    assert [limit for limit in range(1, 50) if pages.find(ListListings(limit=limit))] == [45, 46, 47, 48, 49]
    pages.keep(pages.begin(), NEWEST, page("x" * 20_000))
    assert pages.find(NEWEST) is None


def test_what_was_counted_takes_room_too() -> None:
    counted = (Facet("category", tuple(FacetCount(f"c{number}", 1) for number in range(20))),)
    pages = trusted(max_characters=4 * PAGE_OVERHEAD)
    for limit in (1, 2, 3):
        pages.keep(pages.begin(), ListListings(limit=limit), ListingsPage((), None, facets=counted))
    assert [limit for limit in (1, 2, 3) if pages.find(ListListings(limit=limit))] == [3]


LISTS = (
    NEWEST,
    ListListings(category=Category.WRITING),
    ListListings(sort=ListingSort.PRICE),
    ListListings(sort=ListingSort.TRENDING),
    ListListings(tag="sql"),
    ListListings(min_rating=4),
    ListListings(max_price="5"),
    ListListings(free=True),
    ListListings(licence=Licence.RUNS),
)


@pytest.mark.parametrize(
    ("updated", "forgotten"),
    [
        ({"title", "revision", "updated_at"}, set()),
        ({"ranks.trending"}, {3}),
        ({"ranks.average"}, {5}),
        ({"ranks"}, {3, 5}),
        ({"price"}, {2, 6, 7}),
        ({"tags.0"}, {4}),
        ({"category", "licence"}, {1, 8}),
        ({"published_at"}, {0, 1, 4, 5, 6, 7, 8}),
        ({"state"}, set(range(9))),
    ],
)
def test_a_change_forgets_the_lists_that_go_by_it(updated: set[str], forgotten: set[int]) -> None:
    pages = trusted()
    for message in LISTS:
        pages.keep(pages.begin(), message, page("kept"))
    begun = pages.begin()
    pages.changed("lst_elsewhere", updated)
    assert {at for at, message in enumerate(LISTS) if pages.find(message) is None} == forgotten
    for message in LISTS:  # and what was read before it is as good as what was remembered
        pages.keep(begun, message, page("read before"))
    assert {at for at, message in enumerate(LISTS) if pages.find(message) is None} == forgotten


def test_a_change_forgets_the_pages_that_show_the_listing() -> None:
    pages = trusted()
    pages.keep(pages.begin(), NEWEST, page("this"))
    pages.keep(pages.begin(), ListListings(limit=3), page("another", "lst_b"))
    begun = pages.begin()
    pages.changed("lst_a", {"title"})
    assert (pages.find(NEWEST), pages.find(ListListings(limit=3))) == (None, page("another", "lst_b"))
    pages.keep(begun, NEWEST, page("this, as it was"))
    assert pages.find(NEWEST) is None


def test_after_very_many_changes_nothing_is_known() -> None:
    pages = trusted()
    pages.keep(pages.begin(), NEWEST, page("kept"))
    begun = pages.begin()
    for _ in range(MOST_CHANGES):
        pages.changed("lst_b", {"title"})
    pages.keep(begun, ListListings(limit=3), page("read before"))
    assert pages.find(NEWEST) == page("kept")
    assert pages.find(ListListings(limit=3)) == page("read before")
    begun = pages.begin()
    for _ in range(MOST_CHANGES + 1):
        pages.changed("lst_b", {"title"})
    pages.keep(begun, ListListings(limit=4), page("read before"))
    assert [pages.find(one) for one in (NEWEST, ListListings(limit=3), ListListings(limit=4))] == [None] * 3


def test_every_field_that_a_list_goes_by_is_known_to_decide() -> None:
    everything = ListListings(
        category=Category.WRITING, tag="a", licence=Licence.RUNS, min_price="1", max_price="2", min_rating=3
    )
    fields = [fields_of(replace(everything, sort=sort)) for sort in (None, *ListingSort)]
    assert frozenset().union(*fields) == DECIDING


# What the search index has found

LOOKED_FOR = ListListings(q="sql")


def test_a_page_of_the_index_stands_while_the_index_finds_the_same() -> None:
    pages, before = trusted(), found("lst_a", "lst_b")
    pages.keep(pages.begin(), LOOKED_FOR, page("this"), before)
    pages.changed("lst_elsewhere", {"state", "price", "ranks", "published_at"})
    assert pages.find(LOOKED_FOR, before) == page("this")
    assert pages.find(LOOKED_FOR, found("lst_a", "lst_b")) is None, "it was looked for again since"
    assert pages.find(LOOKED_FOR) is None


@pytest.mark.parametrize("listing_id", ["lst_a", "lst_b"])
def test_it_goes_with_a_change_of_what_was_found_whether_it_is_shown_or_not(listing_id: str) -> None:
    """Of two that were found one had left the market: it may be back."""
    pages, before = trusted(), found("lst_a", "lst_b")
    pages.keep(pages.begin(), LOOKED_FOR, page("this"), before)
    begun = pages.begin()
    pages.changed(listing_id, {"title"})
    assert pages.find(LOOKED_FOR, before) is None
    pages.keep(begun, LOOKED_FOR, page("as it was"), before)
    assert pages.find(LOOKED_FOR, before) is None


def test_a_single_listing_is_known_until_it_changes() -> None:
    pages = trusted()
    views = {one: page(one, one).items[0] for one in ("lst_a", "lst_b")}
    pages.keep_listings(pages.begin(), views)
    assert pages.find_listings(["lst_b", "lst_c", "lst_a"]) == views
    begun = pages.begin()
    pages.changed("lst_a", {"title"})
    assert pages.find_listings(views) == {"lst_b": views["lst_b"]}
    pages.keep_listings(begun, views)
    assert pages.find_listings(views) == {"lst_b": views["lst_b"]}, "it was read before the change"
    pages.clear()
    assert pages.find_listings(views) == {}
    pages.keep_listings(begun, views)
    assert pages.find_listings(views) == {}


def test_no_single_listing_is_known_from_beside_a_transaction_or_while_no_change_would_be_heard_of() -> None:
    heard, one = True, Transaction()
    pages, views = MarketPages(lambda: heard), {"lst_a": page("this").items[0]}
    pages.keep_listings(pages.begin(), views)
    pages.changing(cast("Context", one))
    assert pages.find_listings(views) == {}
    pages.keep_listings(pages.begin(), views)
    one.end()
    assert pages.find_listings(views) == {}
    pages.keep_listings(pages.begin(), views)
    assert pages.find_listings(views) == views
    heard = False
    assert pages.find_listings(views) == {}


def test_of_single_listings_too_there_are_only_so_many() -> None:
    pages = trusted(max_characters=2 * LISTING_OVERHEAD + 2)
    views = {f"lst_{number}": page("x", f"lst_{number}").items[0] for number in range(3)}
    pages.keep_listings(pages.begin(), views)
    pages.keep_listings(pages.begin(), {"lst_long": page("x" * 5000).items[0]})
    assert pages.find_listings([*views, "lst_long"]).keys() == {"lst_1", "lst_2"}


def test_after_very_many_changes_no_single_listing_is_known() -> None:
    pages, views = trusted(), {"lst_a": page("this").items[0]}
    pages.keep_listings(pages.begin(), views)
    for _ in range(MOST_CHANGES + 1):
        pages.changed("lst_b", {"title"})
    assert pages.find_listings(views) == {}
