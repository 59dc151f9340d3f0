"""JSON Schemas of messages and views, by pydantic, with names that make good type names in clients."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

PREFIX = "#/components/schemas/"

Schema = dict[str, Any]  # Any: JSON Schema
Mode = Literal["validation", "serialization"]
Input = tuple[str, Mode, TypeAdapter[Any]]  # Any: whatever the reply or the shape is


class _Generator(GenerateJsonSchema):
    """As pydantic's, but replies always hold all their fields, and a field's title is not its name once more."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,  # noqa: FBT001  # pydantic's signature
    ) -> bool:
        if self.mode == "serialization":
            return True
        return super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:  # Any: a core schema or a name
        return False


class Schemas:
    """The schemas of a whole API. `components` are what its parts refer to; `of` the schema of one input."""

    def __init__(self, inputs: Iterable[Input]) -> None:
        made, definitions = TypeAdapter.json_schemas(
            list(inputs), schema_generator=_Generator, ref_template=PREFIX + "{model}"
        )
        components: dict[str, Schema] = definitions.get("$defs", {})
        names = _nice_names(components)
        self._made = {key: _renamed(schema, names) for key, schema in made.items()}
        self.components = {names[name]: _renamed(schema, names) for name, schema in components.items()}
        for name, schema in self.components.items():
            schema["title"] = name

    def of(self, key: str, mode: Mode) -> Schema:
        schema: Schema = self._made[key, mode]
        return schema

    def take(self, key: str, mode: Mode) -> Schema:
        """The schema of an input itself, and no longer among the components."""
        schema = self.of(key, mode)
        reference = schema.get("$ref")
        return schema if reference is None else self.components.pop(reference.removeprefix(PREFIX))


def _nice_names(components: Mapping[str, Schema]) -> dict[str, str]:
    """`Page_ListingView_` → `ListingViewPage`, `Tag-Output` → `Tag`; a name that two would get stays as it was."""
    nice = {name: _nice(name) for name in components}
    taken = list(nice.values())
    return {name: better if taken.count(better) == 1 else _legal(name) for name, better in nice.items()}


def _nice(name: str) -> str:
    base = name.removesuffix("-Output").replace("-", "")
    generic = re.fullmatch(r"([A-Za-z0-9]+)_([A-Za-z0-9_]+)_", base)
    return _legal(generic[2].strip("_") + generic[1] if generic else base)


def _legal(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:  # Any: JSON
    if isinstance(schema, list):
        return [_renamed(item, names) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _renamed(value, names) for key, value in schema.items()}
    reference = copy.get("$ref")
    if isinstance(reference, str):
        copy["$ref"] = PREFIX + names[reference.removeprefix(PREFIX)]
    return copy
