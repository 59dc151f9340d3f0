"""Cursors: opaque, stable, and good for the one list that they continue."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from promptforge.core.errors import Invalid
from promptforge.core.messages import Query, public
from promptforge.core.pages import DEFAULT_LIMIT, Cursor, CursorToken, Limit, Page
from promptforge.http.cursors import CursorKeys, Cursors
from tests.unit.http.sample import Colour


@public
class ListParts(Query[Page[str]]):
    thing_id: str
    colour: Colour | None = None
    tags: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    since: datetime | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


PLAIN = Cursor(datetime(2026, 11, 1, tzinfo=UTC), "thg_01k8y3w5q2m7t9x4c6v1b8n0rb").encode()
ASKED = ListParts(thing_id="a", colour=Colour.RED, tags=("x", "y"), kinds=frozenset({"p", "q", "r"}))


def cursors(*secrets: str, shape: str = "/things/{}/parts") -> Cursors:
    return Cursors(CursorKeys(secrets or ("secret",)), shape, ListParts)


def sealed(by: Cursors) -> str:
    page = by.sealed(ASKED, Page((), PLAIN))
    assert isinstance(page, Page)
    assert page.next is not None
    return page.next


def opened(by: Cursors, message: ListParts, cursor: str) -> str | None:
    got = by.opened(replace(message, cursor=cursor))
    assert isinstance(got, ListParts)
    return got.cursor


def test_a_cursor_comes_back_as_it_was_whichever_process_made_it_and_however_long_the_pages() -> None:
    cursor = sealed(cursors())
    assert cursor == sealed(cursors())
    for limit in (1, 100):
        assert opened(cursors(), replace(ASKED, limit=limit, kinds=frozenset({"r", "q", "p"})), cursor) == PLAIN


def test_a_cursor_tells_nothing() -> None:
    cursor = sealed(cursors())
    told = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert PLAIN not in cursor
    assert b"thg" not in told
    assert PLAIN.encode() not in told
    assert len(cursor) < 150  # what may come back has at most 200 characters


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, thing_id="b"),
        replace(ASKED, colour=None),
        replace(ASKED, tags=("x",)),
        replace(ASKED, tags=("y", "x")),
        replace(ASKED, kinds=frozenset("p")),
        replace(ASKED, since=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_cursor_is_good_for_one_list_only(other: ListParts) -> None:
    with pytest.raises(Invalid):
        opened(cursors(), other, sealed(cursors()))


def test_a_cursor_is_good_for_one_route_only() -> None:
    with pytest.raises(Invalid):
        opened(cursors(shape="/others/{}/parts"), ASKED, sealed(cursors()))


def test_keys_rotate() -> None:
    old = sealed(cursors("old"))
    assert opened(cursors("new", "old"), ASKED, old) == PLAIN
    assert sealed(cursors("new", "old")) == sealed(cursors("new"))
    with pytest.raises(Invalid):
        opened(cursors("new"), ASKED, old)


def test_without_a_secret_each_process_knows_its_own_only() -> None:
    one, two = (Cursors(CursorKeys(), "/x", ListParts) for _ in range(2))
    with pytest.raises(Invalid):
        opened(two, ASKED, sealed(one))


@pytest.mark.parametrize("cursor", ["", "a", "abcd", "....", "ä", PLAIN, "A" * 200])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid):
        opened(cursors(), ASKED, cursor)
