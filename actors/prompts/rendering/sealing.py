"""Which texts of a version a model is told and nobody else may read: what sealing keeps.

Of a response schema that is its prose and its examples. The names of its properties, and the values that it leaves to
choose from, stand in every answer that keeps to it, so they cannot be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promptforge.actors.prompts.messages import Variable
from promptforge.actors.prompts.rendering.values import as_text

_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords whose values are schemas by names."""
_IN_ANSWERS = frozenset({"enum", "const", "required", "dependentRequired"})
_OF_JSON_SCHEMA = frozenset({"type", "format", "$schema", "$id", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor"})
"""Keywords whose values are words of JSON Schema, or addresses."""


def default_texts(variables: Sequence[Variable]) -> Iterator[str]:
    """What stands in the text for each variable that is given no value."""
    for variable in variables:
        if variable.default is not None:
            yield as_text(variable.type, variable.default)


def schema_texts(schema: Any) -> Iterator[str]:  # Any: JSON
    """Every text in a JSON Schema that its answers do not repeat."""
    if isinstance(schema, str):
        yield schema
    elif isinstance(schema, Mapping):
        for keyword, value in schema.items():
            if keyword in _BY_NAME and isinstance(value, Mapping):
                for part in value.values():
                    yield from schema_texts(part)
            elif keyword not in _IN_ANSWERS | _OF_JSON_SCHEMA:
                yield from schema_texts(value)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from schema_texts(part)
