"""What an item has to be."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from promptforge.actors.datasets.messages import NewItem
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.json_schemas import Checker, Json

LARGEST_ITEM_BYTES = 65_536


def checker_of(schema: dict[str, Json] | None) -> Checker | None:
    """Raises `Invalid` where it is no schema that items can be checked against."""
    if schema is None:
        return None
    try:
        return Checker(schema)
    except ValueError as error:
        told = FieldError(str(error), "invalid_schema", pointer="/variables_schema")
        raise Invalid(told.detail, errors=(told,)) from None


def check_items(items: Sequence[NewItem], schema: dict[str, Json] | None, *, pointers: Sequence[str]) -> None:
    """Raises `Invalid` with everything that is wrong; `pointers` say where each item stands."""
    checker = checker_of(schema)
    errors: list[FieldError] = []
    for item, pointer in zip(items, pointers, strict=True):
        if len(orjson.dumps((item.variables, item.expected, item.metadata))) > LARGEST_ITEM_BYTES:
            errors.append(FieldError("An item has at most 64 KiB", "too_large", pointer=pointer))
        elif checker is not None:
            errors += checker.errors(item.variables, f"{pointer}/variables")
    if errors:
        raise Invalid("Some items are not right", errors=tuple(errors))
