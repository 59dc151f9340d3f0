"""Declarations of what is personal: what they cover, and what erasing and exporting make of a document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from promptforge.core.ids import new_id
from promptforge.core.personal import (
    CLEARED,
    EMPTIED,
    REDACTED,
    REMOVED,
    RENAMED,
    Erased,
    Held,
    Personal,
    Subject,
    ending,
    erasing,
    exported,
    in_order,
    kept,
    marks,
    nobody,
    reduced_to,
    undeclared,
)

ADA, BOB = new_id("usr"), new_id("usr")
LETTERS = Held(
    "Letters",
    (
        Subject("writer_id", {**marks(REDACTED, "text"), **marks(CLEARED, "place"), **marks(EMPTIED, "tags")}),
        Subject("reader_id", marks(REMOVED, "answer")),
    ),
    plain=frozenset({"state", "by.*"}),
    secret=frozenset({"sealed"}),
)


def letter(**more: Any) -> dict[str, Any]:
    said = {"text": "Dear Bob", "place": None, "tags": ["love"], "answer": "Dear Ada", "sealed": "0a1b"}
    return {"_id": new_id("let"), "writer_id": ADA, "reader_id": BOB, **said, "state": "sent", **more}


def test_what_is_declared_is_covered_with_all_that_is_in_it() -> None:
    assert list(undeclared(LETTERS, letter(by={"tool": "pen"}))) == []
    assert list(undeclared(LETTERS, letter(place={"street": "x"}))) == []


def test_a_text_that_nobody_declared_is_named_by_its_path() -> None:
    assert list(undeclared(LETTERS, letter(stamp={"seller": [{"name": "Eve"}]}))) == ["stamp.seller.name"]


def test_internal_ids_tell_nothing_but_whose_they_are_has_to_be_said() -> None:
    assert list(undeclared(LETTERS, letter(post_id=new_id("pst")))) == []
    assert list(undeclared(LETTERS, letter(carrier_id=new_id("usr")))) == ["carrier_id"]


def test_nothing_in_what_is_nobodys_has_to_be_said() -> None:
    assert list(undeclared(nobody("Sums"), letter())) == []


def test_each_subject_loses_what_is_theirs() -> None:
    written = letter()
    put, gone = erasing(LETTERS.subjects[0], written)
    assert (put, gone) == ({"text": "[removed]", "tags": []}, {})
    assert erasing(LETTERS.subjects[1], written) == ({}, {"answer": ""})


def test_what_is_erased_is_not_erased_again() -> None:
    erased = {**letter(), "text": "[removed]", "tags": []}
    assert erasing(LETTERS.subjects[0], erased) == ({}, {})


def test_names_that_have_to_differ_still_do() -> None:
    subject = Subject("owner_id", marks(RENAMED, "name"))
    names = {erasing(subject, {"_id": key, "name": "Mine"})[0]["name"] for key in ("one", "two")}
    assert len(names) == 2


def test_what_is_kept_stays_and_says_why() -> None:
    subject = Subject("owner_id", {"amount": kept("a tax record")})
    assert erasing(subject, {"_id": 1, "amount": "10"}) == ({}, {})
    with pytest.raises(ValueError, match="says why"):
        kept("")
    with pytest.raises(ValueError, match="says why"):
        Personal(because="a reason for nothing")


def test_what_is_kept_for_a_term_goes_when_it_is_over() -> None:
    since = kept("a tax record", years=10, since="made_at", then=Erased.REDACTED)
    subject = Subject("owner_id", {"text": since, "place": kept("a seal", years=6), "tags": kept("for good")})
    erased_at = datetime(2020, 1, 1, tzinfo=UTC)
    row = {"_id": 1, "made_at": datetime(2018, 1, 1, tzinfo=UTC), "text": "x", "place": "y", "tags": ["z"]}

    def after(year: int) -> dict[str, object]:
        put, gone = ending(subject, row, erased_at=erased_at, now=datetime(year, 2, 1, tzinfo=UTC))
        assert gone == {}
        return put

    assert after(2025) == {}
    assert after(2026) == {"place": None}
    assert after(2029) == {"text": "[removed]", "place": None}
    assert subject.has_terms
    with pytest.raises(ValueError, match="only what is kept"):
        Personal(years=6)


def test_an_export_shows_neither_secrets_nor_what_others_wrote_nor_who_they_are() -> None:
    shown = exported(LETTERS, LETTERS.subjects[0], letter(), ADA)
    assert shown["writer_id"] == ADA
    assert shown["reader_id"] == "somebody else"
    assert not {"sealed", "answer"} & shown.keys()


def test_outside_of_what_it_belongs_to_an_export_shows_ids_numbers_times_and_what_was_said() -> None:
    subject = Subject("writer_id", {**marks(kept("theirs"), "text"), **marks(CLEARED, "place")}, whole=True)
    times = {"sent_at": datetime(2026, 1, 1, tzinfo=UTC), "read": True, "pages": 2}
    written = letter(place="Rome", post_id=new_id("pst"), title="Of others", **times)
    shown = exported(LETTERS, subject, written, ADA, outside=True)
    assert shown.keys() == {"_id", "writer_id", "reader_id", "post_id", "place", *times}
    assert exported(LETTERS, subject, written, ADA)["title"] == "Of others"


def test_an_export_leaves_out_what_a_subject_is_not_shown_of_documents_like_this() -> None:
    subject = Subject("writer_id", marks(REDACTED, "text"), hides={"number": {"state": "shut"}})
    shut, open_ = letter(number=7, state="shut"), letter(number=7, state="open")
    assert "number" not in exported(LETTERS, subject, shut, ADA)
    assert exported(LETTERS, subject, open_, ADA)["number"] == 7
    assert exported(LETTERS, LETTERS.subjects[1], shut, BOB)["number"] == 7


def test_what_is_only_kept_is_not_looked_for_by_an_erasure() -> None:
    assert not Subject("writer_id", marks(kept("theirs"), "text")).changes
    assert not Subject("writer_id").changes
    assert Subject("writer_id", marks(CLEARED, "text")).changes
    assert Subject("writer_id", deleted=True).changes
    assert Subject("members.user_id", pulled="members").changes


def test_of_an_array_of_people_the_export_shows_ones_own_element() -> None:
    clubs = Held("Clubs", (Subject("members.user_id", pulled="members"),))
    club = {"_id": "clb", "members": [{"user_id": ADA, "since": 1}, {"user_id": BOB, "since": 2}]}
    assert exported(clubs, clubs.subjects[0], club, ADA)["members"] == [{"user_id": ADA, "since": 1}]


def test_what_is_found_through_another_collection_comes_before_it() -> None:
    held = {
        "boxes": Held("", (Subject("owner_id", deleted=True),)),
        "parts": Held("", (Subject("item_id", of="items", deleted=True),)),
        "items": Held("", (Subject("label", of="boxes:label", deleted=True),)),
    }
    assert list(in_order(held)) == ["parts", "items", "boxes"]
    with pytest.raises(ValueError, match="through each other"):
        list(in_order({"one": Held("", (Subject("x", of="two"),)), "two": Held("", (Subject("x", of="one"),))}))


def test_of_what_is_reduced_only_single_values_at_its_paths_are_left() -> None:
    told = Subject("writer_id", {"told": reduced_to("id", "of.kind", "of.name", "of.missing", "text.inner")})
    document = letter(told={"id": 7, "of": {"kind": "a", "name": {"first": "Ada"}, "more": "Ada"}, "text": "Ada"})
    put, gone = erasing(told, document)
    assert (put, gone) == ({"told": {"id": 7, "of": {"kind": "a"}}}, {})
    assert erasing(told, {**document, **put}) == ({}, {}), "done again, it changes nothing"


def test_what_is_reduced_names_what_is_left() -> None:
    with pytest.raises(ValueError, match="names what is left"):
        Personal(Erased.REDUCED)
    with pytest.raises(ValueError, match="names what is left"):
        Personal(Erased.REMOVED, keeps=("id",))
