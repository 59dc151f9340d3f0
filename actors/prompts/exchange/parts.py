"""What exports have in common: items that are versions, functions as tools, JSON Schemas; and a version of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from promptforge.actors.prompts.exchange.drafts import Draft
from promptforge.actors.prompts.exchange.messages import ExportedVersion
from promptforge.actors.prompts.messages import PromptVersionView

Json = Any  # whatever JSON can be
Item = dict[str, Json]


def by_prompt(
    items: Sequence[Item], name_of: Callable[[Item], Json], read: Callable[[Draft, Item, int], None]
) -> list[Draft]:
    """Items of one name are versions of one prompt, in the order of their numbers."""
    groups: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        name = name_of(item)
        groups.setdefault(name if isinstance(name, str) else index, []).append(index)
    drafts = []
    for indexes in groups.values():
        name = name_of(items[indexes[0]])
        description = items[indexes[0]].get("description")
        shape: Item = {"name": name, "folder": "", "tags": [], "versions": [], "labels": {}}
        if isinstance(description, str) and description:
            shape["description"] = description[:2000]
        draft = Draft(indexes, shape)
        numbered = sorted((number_of(items[index], place), index) for place, index in enumerate(indexes, 1))
        if len({number for number, _ in numbered}) < len(numbered):
            draft.refuse("repeated", "Two items are the same version of one prompt", "/version")
        for number, index in numbered:
            read(draft, items[index], number)
        drafts.append(draft)
    return drafts


def number_of(item: Item, otherwise: int) -> int:
    version = item.get("version")
    if isinstance(version, str) and version.isascii() and version.isdigit():
        version = int(version[:7])
    return version if isinstance(version, int) and not isinstance(version, bool) and version > 0 else otherwise


def listed(draft: Draft, value: Json, pointer: str) -> list[Json]:
    """The list that it is, or an empty one; that it was something else is noted."""
    if isinstance(value, list):
        return value
    if value is not None:
        draft.note(pointer, "It is no list, and was left out")
    return []


def tools_of(draft: Draft, tools: Json, pointer: str) -> list[Item]:
    taken = []
    for index, tool in enumerate(listed(draft, tools, pointer)):
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type", "function") != "function":
            draft.note(f"{pointer}/{index}", "Only functions can be taken: this tool was left out")
            continue
        taken.append({name: function[name] for name in ("name", "description", "parameters") if function.get(name)})
    return taken


def take_response_format(draft: Draft, version: Item, said: Json, pointer: str) -> None:
    kind = said.get("type") if isinstance(said, dict) else None
    if kind == "json_schema":
        inner = said.get("json_schema", said)
        schema = inner.get("schema") if isinstance(inner, dict) else None
        version["response_schema"] = schema
        if schema is None:
            draft.note(pointer, "It holds no JSON Schema, and was left out")
    elif kind != "text":
        draft.note(pointer, "Only a JSON Schema can be taken: this was left out")


def exported_version(version: PromptVersionView) -> ExportedVersion:
    return ExportedVersion(
        version=version.version,
        content=version.content,
        settings=version.settings,
        tools=version.tools,
        response_schema=version.response_schema,
        variables=version.variables,
        message=version.message,
    )
