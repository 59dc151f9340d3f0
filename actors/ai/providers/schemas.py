"""JSON Schemas as the large providers take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BOUNDS = frozenset({"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"})


def without_bounds(schema: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    """The same form without lengths and ranges: OpenAI and Anthropic refuse schemas that have them.

    Whoever needs them checks the answer. A property that happens to be named like one of them stays.
    """
    plain = {name: value for name, value in schema.items() if name not in _BOUNDS}
    for name, value in plain.items():
        if name in {"properties", "$defs"} and isinstance(value, Mapping):
            plain[name] = {key: _within(inner) for key, inner in value.items()}
        elif name in {"items", "additionalProperties", "anyOf", "oneOf", "allOf"}:
            plain[name] = _within(value)
    return plain


def _within(value: Any) -> Any:  # Any: JSON
    if isinstance(value, Mapping):
        return without_bounds(value)
    return [_within(item) for item in value] if isinstance(value, list) else value
