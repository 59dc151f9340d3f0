"""The template language: `{{name}}` is a variable, `{{> prompt name@label}}` or `{{> prompt name@3}}` an include.

Everything else is text, other uses of braces included. A text is read once, and only by itself: what a variable or an
include puts in its place is never read for braces of its own by whoever renders. So there is no escape, and none is
needed: a value holds what it likes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from promptforge.actors.projects.messages import LATEST

LONGEST_REFERENCE = 200
_TOKEN = re.compile(r"\{\{(?:>(?P<include>[^{}\n]*)|[ \t]*(?P<variable>[A-Za-z_][A-Za-z0-9_]{0,63})[ \t]*)\}\}")
_VERSION = re.compile(r"[1-9][0-9]{0,6}")
_LABEL = re.compile(r"[a-z][a-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class VariablePart:
    """`source` is how it was written, spaces and all: compiling leaves it as it is."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class IncludePart:
    """`pin` is a label or a version's number, as it was written."""

    name: str
    pin: str


@dataclass(frozen=True, slots=True)
class BadInclude:
    """Looks like an include and is none; `why` says what is missing."""

    why: str


Part = str | VariablePart | IncludePart | BadInclude


def parse(text: str) -> tuple[Part, ...]:
    """The parts of a text, in order; in linear time."""
    parts: list[Part] = []
    end = 0
    for token in _TOKEN.finditer(text):
        if token.start() > end:
            parts.append(text[end : token.start()])
        end = token.end()
        name = token["variable"]
        parts.append(VariablePart(name, token[0]) if name is not None else _include(token["include"]))
    if end < len(text):
        parts.append(text[end:])
    return tuple(parts)


def with_variables_only(text: str) -> tuple[str | VariablePart, ...]:
    """The parts of a text whose includes are in place already: what looks like one is text."""
    pieces: list[str | VariablePart] = []
    end = 0
    for token in _TOKEN.finditer(text):
        if token["variable"] is not None:
            pieces += [text[end : token.start()], VariablePart(token["variable"], token[0])]
            end = token.end()
    return (*pieces, text[end:])


def _include(reference: str) -> IncludePart | BadInclude:
    if len(reference) > LONGEST_REFERENCE:
        return BadInclude(f"An include has at most {LONGEST_REFERENCE} characters")
    name, at, pin = reference.strip().rpartition("@")
    name, pin = name.strip(), pin.strip()
    if not at or not name:
        return BadInclude("An include names a prompt and its label or version: {{> name@label}} or {{> name@3}}")
    if pin == LATEST:
        return BadInclude(f"An include is pinned: to a version, or to a label other than {LATEST}")
    if not _VERSION.fullmatch(pin) and not _LABEL.fullmatch(pin):
        return BadInclude(f"{pin[:40]!r} is neither a label nor a version")
    return IncludePart(name, pin)


def rewritten(text: str, change: Callable[[IncludePart], IncludePart]) -> str:
    """The text with other includes: those that `change` leaves as they are stay as they were written."""

    def replace(token: re.Match[str]) -> str:
        part = _include(token["include"]) if token["variable"] is None else None
        if not isinstance(part, IncludePart):
            return token[0]
        changed = change(part)
        return token[0] if changed == part else f"{{{{> {changed.name}@{changed.pin}}}}}"

    return _TOKEN.sub(replace, text)


def can_be_included(name: str) -> bool:
    """Whether an include of this name is read as one."""
    return parse(f"{{{{> {name}@1}}}}") == (IncludePart(name, "1"),)


def version_of(pin: str) -> int | None:
    """The version's number; None where the pin is a label."""
    return int(pin) if pin[0].isdigit() else None


def variables_of(parts: Iterable[Part]) -> dict[str, None]:
    """The names of the variables, each once, in the order of their first use."""
    return dict.fromkeys(part.name for part in parts if isinstance(part, VariablePart))


def includes_of(parts: tuple[Part, ...]) -> dict[IncludePart, None]:
    """The includes, each once, in the order of their first use."""
    return dict.fromkeys(part for part in parts if isinstance(part, IncludePart))
