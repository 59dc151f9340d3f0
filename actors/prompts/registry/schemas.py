"""Whether something is a JSON Schema (draft 2020-12). References are not followed: nothing is ever fetched."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from promptforge.core.errors import FieldError

_META = Draft202012Validator(Draft202012Validator.META_SCHEMA)
MAX_ERRORS = 10


def check_schema(schema: dict[str, Any], pointer: str) -> list[FieldError]:  # Any: JSON
    """What is wrong with it, with pointers below `pointer`; nothing where it is a schema."""
    found = []
    for error in _META.iter_errors(schema):
        told = best_match([error]) or error
        where = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in told.absolute_path)
        detail = f"This is not a JSON Schema: {told.message[:200]}"
        found.append(FieldError(detail, "invalid_schema", pointer=pointer + where))
        if len(found) == MAX_ERRORS:
            break
    return found
