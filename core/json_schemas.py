"""JSON Schemas that people wrote (draft 2020-12), held against what other people, or models, wrote.

Neither can be trusted to be quick: a pattern can backtrack for years, references can multiply or go in circles. So the
patterns are those of a regular language, which take time proportional to the text (no look-around, no references to
groups), and a schema is a tree: without `$ref` and without what has to look at it twice. Nothing is ever fetched.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson

from promptforge.core.errors import FieldError

LARGEST_SCHEMA_BYTES = 16_384
DEEPEST = 32
MAX_ERRORS = 10
_PATTERNS = jsonschema_rs.RegexOptions()
_LONGEST_DETAIL = 200
_REFUSED = frozenset({"$ref", "$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"})

Json = Any  # whatever JSON can be


class Checker:
    """A schema made ready. Raises `ValueError`, with a sentence for whoever wrote it, where it is none of ours."""

    def __init__(self, schema: dict[str, Json]) -> None:
        if len(orjson.dumps(schema)) > LARGEST_SCHEMA_BYTES:
            raise ValueError(f"A schema that is checked against has at most {LARGEST_SCHEMA_BYTES:,} bytes")
        _refuse(schema, 0)
        try:
            self._validator = jsonschema_rs.Draft202012Validator(schema, pattern_options=_PATTERNS)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(f"This is not a JSON Schema: {str(error).splitlines()[0][:_LONGEST_DETAIL]}") from None

    def accepts(self, value: Json) -> bool:
        return bool(self._validator.is_valid(value))

    def errors(self, value: Json, pointer: str = "") -> list[FieldError]:
        """What is wrong with the value, with pointers below `pointer`; at most ten."""
        found: list[FieldError] = []
        for error in self._validator.iter_errors(value):
            where = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path)
            found.append(FieldError(error.message[:_LONGEST_DETAIL], "schema", pointer=pointer + where))
            if len(found) == MAX_ERRORS:
                break
        return found


def check_pattern(pattern: str) -> None:
    """Raises `ValueError` where it is no regular expression, or one that could take more than linear time."""
    pattern_checker(pattern)


def pattern_checker(pattern: str) -> Checker:
    """Accepts the texts in which the pattern is found. Raises `ValueError`."""
    try:
        return Checker({"type": "string", "pattern": pattern})
    except ValueError:
        raise ValueError("This is not a regular expression without look-around and back-references") from None


def _refuse(part: Json, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"A schema is at most {DEEPEST} levels deep")
    if isinstance(part, dict):
        refused = sorted(_REFUSED & part.keys())
        if refused:
            raise ValueError(f"A schema that is checked against has no {refused[0]}")
        for inner in part.values():
            _refuse(inner, depth + 1)
    elif isinstance(part, list):
        for inner in part:
            _refuse(inner, depth + 1)
