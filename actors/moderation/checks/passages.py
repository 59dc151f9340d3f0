"""The texts of a case that are looked at, each with its place in words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from promptforge.actors.marketplace.messages import ListingView
from promptforge.actors.moderation.contents import strings_of
from promptforge.actors.moderation.messages import CaseKind, CaseView
from promptforge.actors.packages.messages import PackagePart
from promptforge.actors.prompts.messages import MAX_EXPANDED_CHARACTERS, PromptVersionView

LONGEST = MAX_EXPANDED_CHARACTERS
"""Characters of one text that are looked at: no text of a prompt is longer, whatever it includes."""
_PUBLIC = ("title", "summary", "description", "tags", "samples")


@dataclass(frozen=True, slots=True)
class Passage:
    """A text and where it stands: `content`, `message 2 (user)`, `description`.

    `pointers`: of the strings of a JSON value, which the text is made of, where each begins and its JSON pointer.
    `left_out`: characters that are missing of it.
    """

    place: str
    text: str
    pointers: tuple[tuple[int, str], ...] = ()
    left_out: int = 0

    def where(self, position: int) -> str:
        """Of a character in the text, for a person to find it."""
        if self.pointers:
            at = bisect_right(self.pointers, position, key=lambda pair: pair[0]) - 1
            return f"{self.place}, at {self.pointers[max(at, 0)][1] or '/'}"
        line = self.text.count("\n", 0, position) + 1
        column = position - (self.text.rfind("\n", 0, position) + 1) + 1
        return f"{self.place}, line {line}, column {column}"


def passages_of(
    case: CaseView, listing: ListingView, version: PromptVersionView, parts: Sequence[PackagePart] = ()
) -> Iterator[Passage]:
    """What buyers see of it and what they do not; of a proposed change what it would become.

    `parts`: the texts of a package, in the place of the one that they make together.
    """
    public: dict[str, object] = {name: getattr(listing, name) for name in _PUBLIC}
    if case.kind is CaseKind.PROPOSED_CHANGE and listing.proposal is not None:
        public |= {change.field: change.after for change in listing.proposal.changes if change.field in _PUBLIC}
    samples = public.pop("samples")
    for number, sample in enumerate(samples if isinstance(samples, tuple) else (), 1):
        yield _cut(f"sample {number}", str(sample))
    for name, value in public.items():
        yield _cut(name, ", ".join(value) if isinstance(value, tuple) else str(value))
    if parts:
        yield from (Passage(part.place, part.text, left_out=part.left_out) for part in parts)
    else:
        yield from of_prompt(version)


def of_prompt(version: PromptVersionView) -> Iterator[Passage]:
    """All that is sold of a version and sent to a model: its content, and what stands beside it."""
    if isinstance(version.content, str):
        yield _cut("content", version.content)
    else:
        for number, message in enumerate(version.content, 1):
            yield _cut(f"message {number} ({message.role})", message.content)
    if version.settings.model:
        yield Passage("model", version.settings.model)
    for variable in version.variables:
        place = f"the variable {variable.name}"
        if variable.description:
            yield _cut(f"description of {place}", variable.description)
        yield from _of_json(f"default of {place}", variable.default)
        yield from _of_json(f"values of {place}", list(variable.values))
    for tool in version.tools:
        place = f"the tool {tool.name}"
        yield Passage("name of a tool", tool.name)
        if tool.description:
            yield _cut(f"description of {place}", tool.description)
        yield from _of_json(f"parameters of {place}", tool.parameters)
    yield from _of_json("response schema", version.response_schema)


def _of_json(place: str, value: Any) -> Iterator[Passage]:  # Any: JSON
    """Its strings, numbers and names of members as one text, a line for each: a term is found across two of them."""
    pointers: list[tuple[int, str]] = []
    pieces: list[str] = []
    size = 0
    for pointer, text in strings_of(value):
        pointers.append((size, pointer))
        pieces.append(text)
        size += len(text) + 1
    whole = "\n".join(pieces)
    if whole:
        yield _cut(place, whole, () if isinstance(value, str | int | float) else tuple(pointers))


def _cut(place: str, text: str, pointers: tuple[tuple[int, str], ...] = ()) -> Passage:
    return Passage(place, text[:LONGEST], pointers, max(len(text) - LONGEST, 0))
