"""What of a text is looked for, and which pieces of it are marked."""

from __future__ import annotations

import pytest

from promptforge.actors.search.local.words import (
    MOST_GRAMS,
    MOST_WORDS,
    SHOWN,
    Marker,
    alike,
    grams,
    terms,
)


@pytest.mark.parametrize(
    ("query", "words"),
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
        ("x" * 50, ()),
    ],
)
def test_words_are_stems_without_accents_and_operators_mean_nothing(query: str, words: tuple[str, ...]) -> None:
    assert set(terms(query).words) >= set(words) - {"a", "or"}
    assert "*" not in str(terms(query))
    assert terms(query).empty is (not words)


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
    assert terms("رسائل").words == ("رسائل",)


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
    assert alike(one, other, most) is expected
    assert alike(other, one, most) is expected


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
