"""Includes within one import: what is included comes first, and names and numbers follow what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from promptforge.actors.prompts.exchange.drafts import Parsed
from promptforge.actors.prompts.exchange.messages import ExportedPrompt, ExportedVersion
from promptforge.actors.prompts.messages import ChatMessage
from promptforge.actors.prompts.registry.domain import texts_of, wanted_includes
from promptforge.actors.prompts.rendering.compilation import with_texts
from promptforge.actors.prompts.rendering.templates import IncludePart, rewritten, version_of

Renamed = Mapping[str, tuple[str, Mapping[int, int]]]
"""By the name in the import: the name it got, and the numbers that its versions got."""


def includes_first(parsed: Sequence[Parsed]) -> list[int]:
    """The positions in an order in which what is included precedes; circles are broken anywhere, and refused later."""
    by_name = {one.prompt.name: index for index, one in enumerate(parsed) if one.prompt is not None}
    order: dict[int, None] = {}
    visiting: set[int] = set()

    def visit(index: int) -> None:
        if index in order or index in visiting:
            return
        visiting.add(index)
        prompt = parsed[index].prompt
        for part in included_parts(prompt) if prompt is not None else ():
            if part.name in by_name:
                visit(by_name[part.name])
        order[index] = None

    for index in range(len(parsed)):
        visit(index)
    return list(order)


def included_parts(prompt: ExportedPrompt) -> list[IncludePart]:
    return [part for version in prompt.versions for part in wanted_includes(version.content)]


def following(version: ExportedVersion, renamed: Renamed) -> ExportedVersion:
    """The version with its includes as those prompts are named and numbered now."""

    def change(part: IncludePart) -> IncludePart:
        name, numbers = renamed.get(part.name, (part.name, {}))
        number = version_of(part.pin)
        return IncludePart(name, part.pin if number is None else str(numbers.get(number, number)))

    content: str | tuple[ChatMessage, ...] = version.content
    texts = tuple(rewritten(text, change) for text in texts_of(content))
    return replace(version, content=with_texts(content, texts))
