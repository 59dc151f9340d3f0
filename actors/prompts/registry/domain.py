"""What a version is made of, apart from where it is kept: its canonical hash, its limits, what makes it valid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

import orjson

from promptforge.actors.prompts.messages import (
    ChatMessage,
    Include,
    ModelSettings,
    PromptKind,
    PromptVersionView,
    PromptView,
    Tool,
    Variable,
    VariableType,
)
from promptforge.actors.prompts.registry.schemas import check_schema
from promptforge.actors.prompts.rendering.templates import BadInclude, IncludePart, includes_of, parse
from promptforge.actors.prompts.rendering.values import problem_of
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.text import is_blank

MAX_CONTENT_BYTES = 262_144
MAX_SCHEMA_BYTES = 65_536
MAX_EXTRAS_BYTES = 262_144
"""Tools, schema and variables of one version together."""
MAX_INCLUDES = 50

Content = str | tuple[ChatMessage, ...]


class Wanted(Protocol):
    """What a new version is made of, whoever asks for it."""

    @property
    def content(self) -> Content: ...
    @property
    def settings(self) -> ModelSettings: ...
    @property
    def message(self) -> str | None: ...
    @property
    def tools(self) -> tuple[Tool, ...]: ...
    @property
    def response_schema(self) -> dict[str, Any] | None: ...  # Any: JSON
    @property
    def variables(self) -> tuple[Variable, ...]: ...


def content_hash(  # everything that makes two versions differ
    content: Content,
    settings: ModelSettings,
    *,
    tools: Sequence[Tool] = (),
    response_schema: dict[str, Any] | None = None,  # Any: JSON
    variables: Sequence[Variable] = (),
    includes: Sequence[Include] = (),
) -> str:
    """SHA-256 (hex) of the canonical form: JSON with sorted keys, no white space, and nothing that is null or empty.

    Two versions with one hash would behave the same, so there is only one of them. The form never changes: stored
    hashes would lose their meaning. What is added later is left out of it while null. The ids of included prompts are
    part of it, because a name can come to stand for another prompt. So is an order of members that changes something:
    models write an object in the order of its schema's properties, and a default is put down as it was given.
    """
    parts: object = content
    if not isinstance(content, str):
        parts = [{"content": message.content, "role": message.role.value} for message in content]
    canonical: dict[str, object] = {"content": parts, "settings": _without_null(asdict(settings))}
    if tools:
        canonical["tools"] = [_without_null(asdict(tool) | {"parameters": _ordered(tool.parameters)}) for tool in tools]
    if response_schema is not None:
        canonical["response_schema"] = _ordered(response_schema)
    if variables:
        canonical["variables"] = [
            _without_null(
                {
                    **asdict(variable),
                    "values": list(variable.values) or None,
                    "default_as_written": _as_written(variable.default),
                }
            )
            for variable in sorted(variables, key=lambda variable: variable.name)
        ]
    if includes:
        canonical["includes"] = sorted({include.prompt_id for include in includes})
    return hashlib.sha256(orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _ordered(schema: Any, *, properties: bool = False) -> Any:  # Any: JSON
    """The schema, with lists of pairs for its `properties` where those are in another order than the alphabet's.

    `properties`: this is what a schema has under that name.
    """
    if isinstance(schema, dict):
        members = {
            name: _ordered(inner, properties=name == "properties" and not properties) for name, inner in schema.items()
        }
        if properties and list(members) != sorted(members):
            return [[name, inner] for name, inner in members.items()]
        return members
    return [_ordered(inner) for inner in schema] if isinstance(schema, list | tuple) else schema


def _as_written(value: Any) -> str | None:  # Any: JSON
    """Its text, where that is not the canonical one because of an object's order."""
    text = orjson.dumps(value)
    return None if text == orjson.dumps(value, option=orjson.OPT_SORT_KEYS) else text.decode()


def _without_null(fields: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    chosen = {name: value for name, value in fields.items() if value is not None}
    for name, value in chosen.items():
        if value == 0 and isinstance(value, float):
            chosen[name] = abs(value)  # JSON knows a minus zero; a model does not
    return chosen


def texts_of(content: Content) -> tuple[str, ...]:
    """The one text, or those of the messages."""
    return (content,) if isinstance(content, str) else tuple(message.content for message in content)


def check_content(kind: PromptKind, content: Content, *, pointer: str = "/content") -> None:
    """Raises `Invalid` where the content is not of the prompt's kind, or is too large; `pointer` says where it is."""
    if isinstance(content, str) is not (kind is PromptKind.TEXT):
        wanted = "a text" if kind is PromptKind.TEXT else "a list of messages"
        raise _invalid(f"This is a {kind} prompt: its content is {wanted}", "wrong_kind", pointer)
    if not content or any(is_blank(text) for text in texts_of(content)):
        raise _invalid("There is no content yet, or a message of it is empty", "empty", pointer)
    if len("".join(texts_of(content)).encode()) > MAX_CONTENT_BYTES:
        raise _invalid(f"The content has more than {MAX_CONTENT_BYTES} bytes", "too_long", pointer)


def check_version(kind: PromptKind, wanted: Wanted, *, pointer: str = "") -> None:
    """Raises `Invalid` with everything that is wrong with a version by itself; `pointer` says where it stands."""
    check_content(kind, wanted.content, pointer=pointer + "/content")
    errors = [
        *_include_errors(wanted.content, pointer + "/content"),
        *_variable_errors(wanted.variables, pointer + "/variables"),
        *_tool_errors(wanted.tools, pointer + "/tools"),
    ]
    if wanted.response_schema is not None:
        errors += _schema_errors(wanted.response_schema, pointer + "/response_schema")
    if not errors and _extras_bytes(wanted) > MAX_EXTRAS_BYTES:
        detail = f"Tools, schema and variables have more than {MAX_EXTRAS_BYTES} bytes together"
        errors.append(FieldError(detail, "too_long", pointer=pointer + "/tools"))
    if errors:
        count = "One field is" if len(errors) == 1 else f"{len(errors)} fields are"
        raise Invalid(f"{count} not valid", errors=tuple(errors))


def wanted_includes(content: Content) -> dict[IncludePart, str]:
    """The includes of the content, each once, and where the first is (a pointer below the content's own)."""
    found: dict[IncludePart, str] = {}
    for where, text in _pointed(content):
        for part in includes_of(parse(text)):
            found.setdefault(part, where)
    return found


def new_version(  # a version's fields
    prompt: PromptView,
    number: int,
    wanted: Wanted,
    *,
    created_by: str,
    now: datetime,
    includes: tuple[Include, ...] = (),
) -> PromptVersionView:
    """Version `number` of `prompt`, as wanted."""
    return PromptVersionView(
        prompt_id=prompt.id,
        version=number,
        kind=prompt.kind,
        content=wanted.content,
        settings=wanted.settings,
        message=wanted.message,
        content_hash=hash_of(wanted, includes),
        created_at=now,
        created_by=created_by,
        tools=wanted.tools,
        response_schema=wanted.response_schema,
        variables=wanted.variables,
        includes=includes,
    )


def hash_of(wanted: Wanted, includes: Sequence[Include]) -> str:
    return content_hash(
        wanted.content,
        wanted.settings,
        tools=wanted.tools,
        response_schema=wanted.response_schema,
        variables=wanted.variables,
        includes=includes,
    )


def _pointed(content: Content) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield "", content
    else:
        for index, message in enumerate(content):
            yield f"/{index}/content", message.content


def _include_errors(content: Content, pointer: str) -> Iterator[FieldError]:
    for where, text in _pointed(content):
        for part in parse(text):
            if isinstance(part, BadInclude):
                yield FieldError(part.why, "bad_include", pointer=pointer + where)
    if len(wanted_includes(content)) > MAX_INCLUDES:
        yield FieldError(f"There may be at most {MAX_INCLUDES} includes", "too_many_includes", pointer=pointer)


def _variable_errors(variables: Sequence[Variable], pointer: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        where = f"{pointer}/{index}"
        if variable.name in seen:
            yield FieldError("This variable is declared twice", "repeated", pointer=where + "/name")
        seen.add(variable.name)
        if (variable.type is VariableType.ENUM) is not bool(variable.values):
            detail = "An enum needs its values" if not variable.values else "Only an enum has values"
            yield FieldError(detail, "values", pointer=where + "/values")
        elif variable.default is not None and (problem := problem_of(variable, variable.default)) is not None:
            yield FieldError(problem, "wrong_type", pointer=where + "/default")


def _tool_errors(tools: Sequence[Tool], pointer: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.name in seen:
            yield FieldError("Two tools have this name", "repeated", pointer=f"{pointer}/{index}/name")
        seen.add(tool.name)
        if tool.parameters is not None:
            yield from _schema_errors(tool.parameters, f"{pointer}/{index}/parameters")


def _schema_errors(schema: dict[str, Any], pointer: str) -> list[FieldError]:  # Any: JSON
    if len(orjson.dumps(schema)) > MAX_SCHEMA_BYTES:
        return [FieldError(f"The schema has more than {MAX_SCHEMA_BYTES} bytes", "too_long", pointer=pointer)]
    return check_schema(schema, pointer)


def _extras_bytes(wanted: Wanted) -> int:
    return len(orjson.dumps([wanted.tools, wanted.response_schema, wanted.variables]))


def _invalid(detail: str, code: str, pointer: str) -> Invalid:
    return Invalid(errors=(FieldError(detail, code, pointer=pointer),))
