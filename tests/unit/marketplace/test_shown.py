"""Listings that are remembered: bounded, and known again by the revision they are of."""

from __future__ import annotations

from promptforge.actors.marketplace.listings.shown import LISTING_OVERHEAD, ShownListings
from tests.unit.marketplace.test_pages import page

(LISTING,) = page("A title").items
ROW = {"_id": LISTING.id, "revision": 1}


def test_a_listing_is_known_again_by_what_it_was_made_of() -> None:
    shown = ShownListings()
    shown.keep({**ROW, "title": "A title"}, LISTING)
    assert shown.find(ROW) is LISTING
    assert shown.find({**ROW, "rating": {"count": 0, "stars": 0}, "evidence": None}) is LISTING
    assert shown.find({**ROW, "revision": 2}) is None
    assert shown.find({**ROW, "rating": {"count": 1, "stars": 5}}) is None
    assert shown.find({**ROW, "evidence": {"dataset_gone": True}}) is None
    assert shown.find({**ROW, "_id": "lst_b"}) is None


def test_of_a_listing_the_latest_edition_is_known() -> None:
    shown = ShownListings()
    shown.keep(ROW, LISTING)
    assert LISTING.id in shown
    assert "lst_b" not in shown
    shown.keep({**ROW, "revision": 2}, LISTING)
    assert [shown.find({**ROW, "revision": number}) is LISTING for number in (1, 2)] == [False, True]


def test_together_they_have_a_bound() -> None:
    shown = ShownListings(max_characters=2 * (LISTING_OVERHEAD + len("A title")))
    rows = [{**ROW, "_id": f"lst_{number}"} for number in range(3)]
    for row in rows:
        shown.keep(row, LISTING)
    assert [shown.find(row) is not None for row in rows] == [False, True, True]
    tiny = ShownListings(max_characters=10)
    tiny.keep(ROW, LISTING)
    assert tiny.find(ROW) is None
