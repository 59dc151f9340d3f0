"""Which known words are spelled alike."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from promptforge.actors.search.local import vocabulary
from promptforge.actors.search.local.vocabulary import LONGEST, MOST_ALIKE, Alike, Vocabulary
from tests.unit.search.documents import engine_of, ids, listing, prompt


def steps(one: str, other: str) -> int:
    """Letters changed, left out, added, or swapped with the next (optimal string alignment), the plain way."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for row in range(len(one) + 1):
        for column in range(len(other) + 1):
            if not row or not column:
                table[row][column] = row + column
                continue
            same = one[row - 1] == other[column - 1]
            ways = [table[row - 1][column] + 1, table[row][column - 1] + 1, table[row - 1][column - 1] + (not same)]
            if row > 1 and column > 1 and one[row - 1] == other[column - 2] and one[row - 2] == other[column - 1]:
                ways.append(table[row - 2][column - 2] + 1)
            table[row][column] = min(ways)
    return table[-1][-1]


def known(*words: str, titles: tuple[str, ...] = ()) -> Vocabulary:
    made = Vocabulary()
    made.add(words, titles)
    return made


@pytest.mark.parametrize("word", ["sumari", "usmmari", "summri", "sumxari", "summarix", "xsummari"])
def test_a_letter_may_be_left_out_added_changed_or_swapped(word: str) -> None:
    assert known("summari").alike(word, 1).anywhere == (word, "summari")


def test_two_letters_may_differ_in_titles_alone() -> None:
    words = known("summarising", "summarizang", titles=("summarising",))
    assert words.alike("sumarisng", 2) == Alike(("sumarisng",), ("sumarisng", "summarising"))
    assert words.alike("sumarisng", 1).in_titles == ("sumarisng",)


def test_all_are_found_that_the_plain_way_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MOST_ALIKE", 10_000)
    rng = Random(20261126)
    words = sorted({"".join(rng.choice("abcdeß語") for _ in range(rng.randint(1, 9))) for _ in range(1500)})
    titles = set(words[::2])
    made = known(*words, titles=tuple(titles))
    for word in rng.sample(words, 10):
        asked = word[::-1] if rng.random() < 0.5 else word
        far = {one: steps(asked, one) for one in words}
        for most in (1, 2):
            found = made.alike(asked, most)
            assert set(found.anywhere) == {one for one in words if far[one] <= 1} | {asked}
            assert set(found.in_titles) == {one for one in titles if far[one] <= most} | {asked}


def test_the_nearest_come_first_and_there_is_an_end_to_them() -> None:
    near = [f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    found = known(*near, "word", titles=(*near, "word")).alike("word", 1)
    assert found.anywhere[0] == "word"
    assert found.anywhere[1:] == tuple(near[: MOST_ALIKE - 1])


def test_what_comes_later_is_found_too() -> None:
    made = known("marimba")
    assert made.alike("marimbo", 1) == Alike(("marimbo", "marimba"), ("marimbo",))
    made.add(["marimba", "marimbas"], ["marimba"])
    assert made.alike("marimbo", 1) == Alike(("marimbo", "marimba"), ("marimbo", "marimba"))
    made.add((f"filler{at}" for at in range(10_000)), ())
    made.add(["marimbe"], ["marimbe"])
    assert made.alike("marimbo", 1).in_titles == ("marimbo", "marimba", "marimbe")


def test_long_words_and_rare_letters_are_alike_to_themselves_alone() -> None:
    long = "a" * (LONGEST + 1)
    made = known(long, "𝒳𝒴𝒵", titles=(long,))
    for word in (long, "𝒳𝒴𝒵", "𝒳𝒴"):
        assert made.alike(word, 2) == Alike((word,), (word,))


def watched(monkeypatch: pytest.MonkeyPatch, compared: list[int]) -> None:
    """How many words are compared letter by letter, each time."""
    compare = vocabulary._distances

    def counted(word: str, letters: NDArray[np.uint16], lengths: NDArray[np.int8]) -> NDArray[np.uint8]:
        compared.append(len(lengths))
        return compare(word, letters, lengths)

    monkeypatch.setattr(vocabulary, "_distances", counted)


def test_the_words_of_somebody_who_makes_them_up_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    watched(monkeypatch, compared)
    rng = Random(20261126)
    letters = "abcdefghijklmnopqrstuvwx"
    made = known(letters, titles=(letters,))
    made.add(("".join(rng.sample(letters, 24)) for _ in range(20_000)), ())
    swapped = "bacdefghijklmnopqrstuvwx"
    assert made.alike(swapped, 2) == Alike((swapped, letters), (swapped, letters)), "what was seen first is compared"
    assert compared[0] <= 700
    made.add(("".join(rng.sample(letters[:8], 8)) for _ in range(20_000)), ())
    made.alike(letters[:8], 2)
    assert compared[1] <= 5000


def test_words_of_no_title_that_differ_in_more_than_a_letter_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    watched(monkeypatch, compared)
    known("summarising", "symmarizing", "sumarizang", titles=()).alike("summarising", 2)
    assert compared == [1]


def test_there_is_an_end_to_the_words_and_sooner_to_those_that_only_some_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MOST_PRIVATE", 5)
    monkeypatch.setattr(vocabulary, "MOST_WORDS", 7)
    made = Vocabulary()
    made.add([f"private{at}" for at in range(9)], ["private8"], public=False)
    assert len(made) == 5
    made.add([f"public{at}" for at in range(9)], ["public1"])
    assert len(made) == 7
    assert made.alike("publik1", 1).in_titles == ("publik1", "public1")


def test_twice_the_words_that_it_was_made_with_are_a_waste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "WASTEFUL", 5)
    made = known("marimba", "timpani")
    made.made()
    told = [made.wasteful]
    for words in ([f"word{at}" for at in range(3)], ["xylophone"]):
        made.add(words, ())
        told.append(made.wasteful)
    made.made()
    assert [*told, made.wasteful] == [False, False, True, False]


@pytest.mark.anyio
async def test_words_of_projects_leave_room_for_those_of_the_market(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MOST_PRIVATE", 0)
    engine, index = await engine_of(prompt("prm_1", "Marimba", "prj_1"), listing("lst_1", "Xylophone"))
    assert len(index.words.vocabulary) == 1
    assert await ids(engine, "xylophnoe") == ["lst_1"]
    assert await ids(engine, "marimba", "prj_1") == ["prm_1"], "only what is spelled alike goes by these"
