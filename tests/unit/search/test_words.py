"""What of a text is looked for, and which pieces of it are marked."""

from __future__ import annotations

from random import Random

import pytest

from promptforge.actors.search.local.words import (
    MOST_GRAMS,
    MOST_WORDS,
    SHOWN,
    Marker,
    grams,
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


def test_what_is_too_long_for_a_word_is_looked_for_in_vain() -> None:
    for text in ("x" * 121, "ж" * 61, "! " + "x" * 300):
        assert not terms(text).empty
        assert not set(terms(text).words) & {"x", "ж", ""}
    assert terms("x" * 121 + " summary").words == ("summari",)


def test_words_with_signs_are_marked_as_a_whole() -> None:
    for text, query in (("हिन्दी सारांश", "हिन्दी"), ("שָׁלוֹם עולם", "שלום"), ("শুভ বিশ্ববিদ্যালয়", "বিশ্ববিদ্যালয়")):
        pieces = Marker(terms(query)).marked(text)
        assert "".join(piece.text for piece in pieces) == text
        assert [terms(piece.text) for piece in pieces if piece.hit] == [terms(query)]


def test_pieces_together_are_the_text_and_markup_stays_text() -> None:
    text = "Summaries of <script>alert(1)</script> articles"
    pieces = Marker(terms("summary article")).marked(text)
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.text for piece in pieces if piece.hit] == ["Summaries", "articles"]


def test_what_has_no_hit_has_no_pieces() -> None:
    assert Marker(terms("cooking"), frozenset({"cook"})).marked("Summaries") == ()
    assert Marker(terms("((*")).marked("Summaries") == ()


def test_a_long_text_is_cut_to_where_the_hit_is() -> None:
    text = "lorem ipsum " * 100 + "needle " + "dolor sit " * 100
    pieces = Marker(terms("needle")).marked(text)
    assert [piece.text for piece in pieces if piece.hit] == ["needle"]
    assert len("".join(piece.text for piece in pieces)) <= SHOWN


def test_typos_mark_what_was_meant_only_where_they_are_looked_for() -> None:
    assert Marker(terms("sumaries")).marked("Summaries") == ()
    assert [piece.hit for piece in Marker(terms("sumaries"), frozenset({"summari"})).marked("Summaries")] == [True]


def test_grams_that_touch_are_one_piece() -> None:
    pieces = Marker(terms("東京都")).marked("新東京都内")
    assert [piece.text for piece in pieces] == ["新", "東京都", "内"]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("skies", "sky"),
        ("lying", "lies"),
        ("sensibility", "sensible"),
        ("happy", "happiness"),
        ("generalize", "generalization"),
        ("hop", "hopping"),
        ("only", "only"),
        ("a", "a"),
    ],
)
def test_all_forms_of_a_word_are_marked_whatever_its_ending(query: str, text: str) -> None:
    assert terms(query).words == terms(text).words
    for one, other in ((query, text), (text, query)):
        assert [piece.text for piece in Marker(terms(one)).marked(f"un{other} {other.upper()}.") if piece.hit] == [
            other.upper()
        ]


@pytest.mark.parametrize("seed", range(20))
def test_few_words_and_many_are_marked_in_the_same_way(seed: int) -> None:
    """Few are looked for one after the other, many by a pattern."""
    rng = Random(seed)
    known = ["summary", "summaries", "sum", "sums", "market", "mark", "a", "ab", "aba", "only", "lonely", "un_sum"]
    text = "".join(rng.choice(known).title() + rng.choice((" ", "_", "-", "", "4", ".")) for _ in range(30))
    for query in known:
        few = Marker(terms(query))
        many = Marker(terms(query), frozenset(f"zz{number}" for number in range(20)))
        assert few.marked(text) == many.marked(text), query
