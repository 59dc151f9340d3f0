"""Schemas and patterns of strangers: what is refused, and that what is taken is quick."""

from __future__ import annotations

import time
from typing import Any

import pytest

from promptforge.core.json_schemas import LARGEST_SCHEMA_BYTES, Checker, check_pattern, pattern_checker

LONG = "a" * 1_000_000 + "!"


def test_what_does_not_keep_to_the_schema_is_pointed_to() -> None:
    checker = Checker({"properties": {"a/b": {"type": "array", "items": {"type": "string"}}}, "required": ["c"]})
    found = checker.errors({"a/b": ["x", 1]}, "/items/3/variables")
    assert {error.pointer for error in found} == {"/items/3/variables", "/items/3/variables/a~1b/1"}
    assert checker.accepts({"c": 1})
    assert not checker.accepts({})


def test_at_most_ten_errors_are_told() -> None:
    assert len(Checker({"items": {"type": "string"}}).errors([1] * 100)) == 10


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1:1/schema"},
        {"properties": {"a": {"$dynamicRef": "#a"}}},
        {"unevaluatedProperties": False},
        {"pattern": "(?=a)b"},
        {"pattern": "(a)\\1"},
        {"pattern": "("},
        {"enum": ["x" * LARGEST_SCHEMA_BYTES]},
        nested(40),
    ],
)
def test_what_is_no_schema_or_could_take_long_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Checker(schema)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_takes_longer_than_the_text_is_long(pattern: str) -> None:
    """Python's own `re` would not end in a lifetime."""
    begun = time.process_time()
    assert not pattern_checker(pattern).accepts(LONG)
    assert time.process_time() - begun < 5


def test_a_pattern_is_searched_for() -> None:
    checker = pattern_checker(r"\bnews\b")
    assert checker.accepts("no news today")
    assert not checker.accepts("newspaper")
    check_pattern("(?i)NEWS")
    with pytest.raises(ValueError, match="regular expression"):
        check_pattern("(?<=a)b")
