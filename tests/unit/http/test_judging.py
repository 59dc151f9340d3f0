"""The short way through a body finds nothing wrong only where the long one finds nothing either."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.core.errors import PromptForgeError
from promptforge.http import body as bodies
from promptforge.http.body import MAX_DEPTH, MAX_INT64, MAX_VALUES, judge

NUMBERS = st.integers(-2, 2) | st.sampled_from([MAX_INT64, MAX_INT64 + 1, -MAX_INT64 - 1, -MAX_INT64 - 2])
LEAVES = st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False) | st.sampled_from(["", "a", "\0", "\\u0000"])
KEYS = st.sampled_from(["a", "b", "\0", '":', "x"])
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


def nested(levels: int) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for _ in range(levels):
        tree = {"a": tree}
    return tree


def verdict(tree: dict[str, Any], *, closely: bool) -> object:
    way = bodies._judge_closely if closely else judge
    try:
        return way(tree, json.dumps(tree).encode())
    except PromptForgeError as error:
        return error.code, error.detail


@given(st.dictionaries(KEYS, TREES, max_size=4))
@settings(max_examples=300, deadline=None)
def test_both_ways_come_to_the_same(tree: dict[str, Any]) -> None:
    assert verdict(tree, closely=False) == verdict(tree, closely=True)


@pytest.mark.parametrize(
    "tree",
    [
        nested(MAX_DEPTH - 1),
        nested(MAX_DEPTH),
        nested(MAX_DEPTH + 1),
        nested(MAX_DEPTH + 2),
        {"a": [0] * (MAX_VALUES - 2)},
        {"a": [0] * (MAX_VALUES - 1)},
        {"a": [0] * MAX_VALUES},
        {"a": [[]] * MAX_VALUES},
    ],
    ids=["63 deep", "64 deep", "65 deep", "66 deep", "all but one", "as many as may be", "one too many", "many lists"],
)
def test_both_ways_have_the_same_bounds(tree: dict[str, Any]) -> None:
    assert verdict(tree, closely=False) == verdict(tree, closely=True)


def test_a_key_that_is_said_twice_is_found_on_the_short_way() -> None:
    with pytest.raises(PromptForgeError, match="twice"):
        judge({"a": 1}, b'{"a": 1, "a": 1}')
