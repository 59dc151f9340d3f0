"""What a change of the database makes this process forget, and what it leaves known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from promptforge.actors.marketplace.documents.messages import Bought
from promptforge.actors.marketplace.listings.messages import ListingsPage, ListListings
from promptforge.core.mongo import Change, ChangeFeed, Pulse
from promptforge.deploy.following import Memory, memory_of
from tests.unit.marketplace.test_pages import page

BOUGHT = (Bought("lst_a", "pur_a", "bought:lst_a"),)


class Told:
    """Stands for a feed that is healthy, and tells what a test says."""

    healthy = True

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Any]] = {}
        self.gaps: list[Any] = []

    def subscribe(self, collection: str, callback: Any, **_: object) -> None:
        self._subscribers.setdefault(collection, []).append(callback)

    def on_gap(self, callback: Any) -> None:
        self.gaps.append(callback)

    def untold_seconds(self) -> float:
        return 0.0

    def tell(
        self, collection: str, operation: str, identifier: str, *updated: str, document: Mapping[str, Any] | None = None
    ) -> None:
        change = Change(collection, operation, identifier, document, frozenset(updated))
        for callback in self._subscribers[collection]:
            callback(change)


@pytest.fixture
def feed() -> Told:
    return Told()


@pytest.fixture
def memory(feed: Told) -> Memory:
    """Everything about `usr_a` and `usr_b` is known, and one page of the market."""

    async def nothing() -> None: ...

    memory = memory_of(cast("ChangeFeed", feed), Pulse(nothing, lambda: True))
    for user_id in ("usr_a", "usr_b"):
        memory.memberships.lists.keep(memory.memberships.lists.begin(), user_id, ("prj_a",))
        memory.owned.keep(memory.owned.begin(), user_id, (500, BOUGHT))
    memory.pages.keep(memory.pages.begin(), ListListings(), page("this"))
    return memory


def listed(memory: Memory) -> set[str]:
    return {one for one in ("usr_a", "usr_b") if memory.memberships.lists.find(one) is not None}


def owning(memory: Memory) -> set[str]:
    return {one for one in ("usr_a", "usr_b") if memory.owned.find(one) is not None}


def shown(memory: Memory) -> ListingsPage | None:
    return memory.pages.find(ListListings())


@pytest.mark.parametrize(
    ("operation", "updated", "left"),
    [
        ("update", ("name", "updated_at"), {"usr_a", "usr_b"}),
        ("update", ("members.1.roles",), set()),
        ("update", ("members",), set()),
        ("update", ("archived", "updated_at"), set()),
        ("replace", (), set()),
        ("delete", (), set()),
    ],
)
def test_whose_projects_are_forgotten(
    feed: Told, memory: Memory, operation: str, updated: tuple[str, ...], left: set[str]
) -> None:
    feed.tell("projects", operation, "prj_a", *updated)
    assert listed(memory) == left


def test_a_new_project_is_its_members(feed: Told, memory: Memory) -> None:
    feed.tell("projects", "insert", "prj_b", document={"members": [{"user_id": "usr_b"}, {"user_id": "usr_c"}]})
    assert listed(memory) == {"usr_a"}


@pytest.mark.parametrize("operation", ["insert", "update", "replace", "delete"])
def test_what_is_bought_or_given_back_is_the_buyers(feed: Told, memory: Memory, operation: str) -> None:
    feed.tell("entitlements", operation, "usr_a:lst_b", document=None)
    assert owning(memory) == {"usr_b"}


def test_a_new_draft_is_on_no_page_and_anything_else_that_comes_or_goes_may_be(feed: Told, memory: Memory) -> None:
    feed.tell("marketplace_listings", "insert", "lst_b", document={"state": "draft"})
    assert shown(memory) == page("this")
    feed.tell("marketplace_listings", "insert", "lst_b", document={"state": "published"})
    assert shown(memory) is None


@pytest.mark.parametrize("operation", ["replace", "delete"])
def test_a_listing_that_is_replaced_or_gone_may_have_been_on_any_page(
    feed: Told, memory: Memory, operation: str
) -> None:
    feed.tell("marketplace_listings", operation, "lst_b", document={"state": "draft"})
    assert shown(memory) is None


def test_after_a_gap_nothing_is_known(feed: Told, memory: Memory) -> None:
    for gap in feed.gaps:
        gap()
    assert (listed(memory), owning(memory), shown(memory)) == (set(), set(), None)
