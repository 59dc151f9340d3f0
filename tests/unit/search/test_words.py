"""What of a text is looked for, and which pieces of it are marked."""

from __future__ import annotations

from random import Random

import pytest

from promptforge.actors.search.local import words
from promptforge.actors.search.local.words import (
    MOST_GRAMS,
    MOST_WORDS,
    SHOWN,
    Marker,
    alike,
    grams,
    may_be_alike,
    terms,
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Summaries of ARTICLES", ("summari", "articl")),
        ("title:secret OR (x", ("titl", "secret", "or", "x")),
        ('"exact phrase" -not +must', ("exact", "phrase", "not", "must")),
        ("Größe", ("gross",)),
        ("ｆｕｌｌ　ｗｉｄｔｈ", ("full", "width")),
        ("the of a", ("the", "of", "a")),
        ("* ? ~ ^ [a TO b] {", ("a", "b")),
        ("a_b", ("a", "b")),
        ("", ()),
        ("   ", ()),
        ("((", ()),
        ("x" * 50, ("x" * 50,)),
        ("हिन्दी लेखक", ("हिनदी", "लेखक")),
        ("বিশ্ববিদ্যালয়", ("বিশববিদযালয",)),
        ("தமிழ்", ("தமிழ",)),
        ("שָׁלוֹם", ("שלום",)),
        ("مُلَخَّص", ("ملخص",)),
        ("Ёлка", ("елка",)),
        ("Достопримечательностями", ("достопримечательностями",)),
    ],
)
def test_words_are_stems_without_accents_and_operators_mean_nothing(query: str, expected: tuple[str, ...]) -> None:
    assert set(terms(query).words) >= set(expected) - {"a", "or"}
    assert "*" not in str(terms(query))
    assert terms(query).empty is (not expected)


def test_a_long_query_is_cut_short() -> None:
    long = terms(" ".join(f"word{number}" for number in range(1000)))
    assert len(long.words) == MOST_WORDS
    assert len(terms("東京都観光案内" * 50 + "".join(chr(0x4E00 + at) for at in range(200))).grams) == MOST_GRAMS


def test_scripts_without_spaces_are_taken_apart() -> None:
    assert grams("東京都 abc") == ["東", "京", "都", "東京", "京都"]
    assert terms("東京都").grams == ("東京", "京都")
    assert terms("東").grams == ("東",)
    assert terms("ภาษา").words == ()
    assert terms("한국어 prompts").grams == ("한국", "국어")
    assert terms("🎉").grams == ("🎉",)
    assert terms("رسائل").words == terms("رسايل").words == ("رسايل",)


@pytest.mark.parametrize(
    ("one", "other", "most", "expected"),
    [
        ("summari", "sumari", 1, True),
        ("summari", "usmmari", 1, True),
        ("summari", "sumrai", 1, False),
        ("summari", "sumrai", 2, True),
        ("word", "words", 1, True),
        ("word", "sward", 1, False),
        ("a", "abc", 1, False),
        ("", "", 0, True),
    ],
)
def test_words_are_alike_by_letters_changed_or_swapped(one: str, other: str, most: int, *, expected: bool) -> None:
    for first, second in ((one, other), (other, one)):
        assert (may_be_alike(first, second, most) and alike(first, second, most)) is expected


def test_what_is_too_long_for_a_word_is_looked_for_in_vain() -> None:
    for text in ("x" * 121, "ж" * 61, "! " + "x" * 300):
        assert not terms(text).empty
        assert not set(terms(text).words) & {"x", "ж", ""}
    assert terms("x" * 121 + " summary").words == ("summari",)


def test_words_with_signs_are_marked_as_a_whole() -> None:
    for text, query in (("हिन्दी सारांश", "हिन्दी"), ("שָׁלוֹם עולם", "שלום"), ("শুভ বিশ্ববিদ্যালয়", "বিশ্ববিদ্যালয়")):
        pieces = Marker(terms(query), similar=False).marked(text)
        assert "".join(piece.text for piece in pieces) == text
        assert [terms(piece.text) for piece in pieces if piece.hit] == [terms(query)]


def test_texts_made_to_be_compared_with_cost_no_more_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    unbounded = words.alike

    def counted(one: str, other: str, most: int) -> bool:
        nonlocal compared
        compared += len(one) * len(other)
        return unbounded(one, other, most)

    monkeypatch.setattr(words, "alike", counted)
    letters, rng = "abcdefghijklmno", Random(1)
    asked = ["".join(rng.sample(letters, 15)) for _ in range(MOST_WORDS)]
    marker = Marker(terms(" ".join(asked)), similar=True)
    for _ in range(20):
        marker.marked(" ".join("".join(rng.sample(letters, 15)) for _ in range(120)))
    assert 0 < compared <= words.MOST_COMPARED + 15 * 15
    (piece,) = (piece for piece in marker.marked(f"not {asked[0]}") if piece.hit)
    assert piece.text == asked[0]  # the words themselves are marked however much was compared


def test_pieces_together_are_the_text_and_markup_stays_text() -> None:
    text = "Summaries of <script>alert(1)</script> articles"
    pieces = Marker(terms("summary article"), similar=False).marked(text)
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.text for piece in pieces if piece.hit] == ["Summaries", "articles"]


def test_what_has_no_hit_has_no_pieces() -> None:
    assert Marker(terms("cooking"), similar=True).marked("Summaries") == ()
    assert Marker(terms("((*"), similar=True).marked("Summaries") == ()


def test_a_long_text_is_cut_to_where_the_hit_is() -> None:
    text = "lorem ipsum " * 100 + "needle " + "dolor sit " * 100
    pieces = Marker(terms("needle"), similar=False).marked(text)
    assert [piece.text for piece in pieces if piece.hit] == ["needle"]
    assert len("".join(piece.text for piece in pieces)) <= SHOWN


def test_typos_mark_what_was_meant_only_where_they_are_looked_for() -> None:
    assert Marker(terms("sumaries"), similar=False).marked("Summaries") == ()
    assert [piece.hit for piece in Marker(terms("sumaries"), similar=True).marked("Summaries")] == [True]


def test_grams_that_touch_are_one_piece() -> None:
    pieces = Marker(terms("東京都"), similar=False).marked("新東京都内")
    assert [piece.text for piece in pieces] == ["新", "東京都", "内"]
