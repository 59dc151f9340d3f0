"""Handles that look alike are one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.core.alike import skeleton


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada-lovelace", "ada_lovelace"),
        ("ada-lovelace", "ada-1ovelace"),
        ("ada-lovelace", "Ada-Iovelace"),
        ("bob", "b0b"),
        ("modern", "modem"),
        ("willow", "vviiiovv"),
        ("sunrise", "5unri5e"),
        ("promptforge", "pr0mptf0rge"),
    ],
)
def test_what_is_easily_taken_for_each_other_has_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(("one", "other"), [("vw-fan", "vvv-fan"), ("wv", "vw"), ("rnn", "mn"), ("rm", "rrn")])
def test_it_does_not_matter_where_a_pair_begins(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


SPELLINGS = (
    ("m", "rn"),
    ("w", "vv"),
    ("i", "l", "1", "I"),
    ("o", "0", "O"),
    ("s", "5"),
    ("-", "_"),
    ("v",),
    ("r",),
    ("n",),
    ("a",),
)


@given(st.lists(st.sampled_from(SPELLINGS), max_size=12), st.data())
def test_any_letter_may_be_spelt_in_any_of_its_ways_and_it_is_the_same_name(
    letters: list[tuple[str, ...]], data: st.DataObject
) -> None:
    """Also where a spelling makes a pair with its neighbours; and so looking alike is mutual and passed on."""
    one, other = ("".join(data.draw(st.sampled_from(ways)) for ways in letters) for _ in range(2))
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(("one", "other"), [("ada", "adam"), ("ada-l", "adal"), ("bob", "rob"), ("anna", "hanna")])
def test_different_handles_have_different_ones(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)
