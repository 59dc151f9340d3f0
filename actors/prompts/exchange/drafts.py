"""Items of any format on their way in: converted to our own shape first, then validated as everything is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from promptforge.actors.projects.messages import LATEST
from promptforge.actors.prompts.exchange.messages import ExportedPrompt, ImportNote, ImportProblem

Json = Any  # whatever JSON can be
MAX_PROBLEMS = 10
_LABEL = re.compile(r"[a-z][a-z0-9._-]{0,39}")


_SHAPE = TypeAdapter(ExportedPrompt)


@dataclass(slots=True)
class Draft:
    """One prompt; `shape` is our own, not validated yet. `pointers` of what is told are into the first item."""

    indexes: list[int]
    shape: dict[str, Json]
    notes: list[ImportNote] = field(default_factory=list)
    problems: list[ImportProblem] = field(default_factory=list)

    def note(self, pointer: str, detail: str) -> None:
        self.notes.append(ImportNote(pointer, detail))

    def refuse(self, code: str, detail: str, pointer: str | None = None) -> None:
        self.problems.append(ImportProblem(code, detail, pointer))

    def label(self, label: Json, version: int, pointer: str) -> None:
        """Let a label point to a version, where it can be one of ours."""
        if label == LATEST:
            return  # derived here too
        if not isinstance(label, str) or not _LABEL.fullmatch(label):
            self.note(pointer, f"{str(label)[:60]!r} cannot be a label here: lower-case letters, digits, `.`, `_`, `-`")
            return
        self.shape["labels"][label] = version


@dataclass(frozen=True, slots=True)
class Parsed:
    """A prompt to take in; `prompt` is None where it is refused, and `problems` say why."""

    indexes: tuple[int, ...]
    name: str | None
    prompt: ExportedPrompt | None
    notes: tuple[ImportNote, ...]
    problems: tuple[ImportProblem, ...]


def finished(draft: Draft) -> Parsed:
    """Validate what was converted."""
    prompt = None
    if not draft.problems:
        try:
            prompt = _SHAPE.validate_json(orjson.dumps(draft.shape), strict=True, extra="forbid")
        except ValidationError as error:
            told = error.errors(include_url=False, include_context=False, include_input=False)
            for item in told[:MAX_PROBLEMS]:
                draft.refuse(item["type"], item["msg"], "".join(f"/{part}" for part in item["loc"]))
    if prompt is not None:
        numbers = [version.version for version in prompt.versions]
        if len(set(numbers)) < len(numbers):
            draft.refuse("repeated", "Two versions of this prompt have one number", "/versions")
            prompt = None
    name = draft.shape.get("name")
    known = name[:200] if isinstance(name, str) else None
    return Parsed(tuple(draft.indexes), known, prompt, tuple(draft.notes), tuple(draft.problems))
