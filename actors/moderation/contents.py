"""Which text a case is about, and how it differs from the one that is published."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from promptforge.actors.marketplace.messages import ListingView
from promptforge.actors.moderation.messages import CaseKind, CaseView
from promptforge.actors.packages.messages import PackagePart, ReadPackageParts, ReadPackageText
from promptforge.actors.prompts.messages import ChatMessage, PromptVersionView, ReadPromptVersion
from promptforge.core.messages import Query

PROSE = 4
"""From how many words on a string is a sentence, and no name."""
LEAST_COMPARED = 20
"""Words; fewer are alike by chance."""
STRETCH, OVERLAP = 32_768, 4_096
"""Characters of a long text that are compared by themselves too, and how many of them are in the next ones as well."""

Content = str | tuple[ChatMessage, ...]


def versions_of(case: CaseView, listing: ListingView) -> tuple[int, int | None]:
    """The version under review, and the published one where that is another."""
    if case.kind is not CaseKind.PROPOSED_CHANGE or listing.proposal is None:
        return listing.version, None
    for change in listing.proposal.changes:
        if change.field == "version" and isinstance(change.after, int):
            return change.after, listing.version
    return listing.version, None


def sold_by(listing: ListingView, number: int) -> Query[PromptVersionView]:
    """What asks for the text of a version of what a listing sells, a prompt's or a package's."""
    if listing.package is not None:
        return ReadPackageText(package_id=listing.package.package_id, number=number)
    return ReadPromptVersion(prompt_id=listing.prompt_id, version=number)


def parts_sold_by(listing: ListingView, number: int) -> ReadPackageParts | None:
    """What asks for the single texts of a version of the package that is sold. None where that is a prompt."""
    if listing.package is None:
        return None
    return ReadPackageParts(package_id=listing.package.package_id, number=number)


def compared_texts(version: PromptVersionView, parts: Sequence[PackagePart]) -> list[str]:
    """The texts that copies are looked for by, each once: a package's prompts, of all first the newest version.

    Behind them stretches of the long ones: what is taken over among much else is a small part of the whole.
    """
    behind: Counter[str] = Counter()
    ranked = []
    for part in parts:
        if part.prompt is not None:
            ranked.append((behind[part.prompt], part.text))
            behind[part.prompt] += 1
    ranked.sort(key=lambda pair: pair[0])
    whole = [text for _, text in ranked] or [text_of(version.content), *_prose_besides(version)]
    return list(dict.fromkeys([*whole, *(stretch for text in whole for stretch in _stretches(text))]))


def _stretches(text: str) -> Iterator[str]:
    if len(text) > STRETCH:
        for start in range(0, len(text) - OVERLAP, STRETCH - OVERLAP):
            yield text[start : start + STRETCH]


def _prose_besides(version: PromptVersionView) -> list[str]:
    """What is written in words in variables, tools and the response schema, as one text, where it is not just a little.

    The words of JSON Schema itself and short names are in most of them, and say nothing of where they were taken from.
    """
    besides = [
        [(one.description, one.default) for one in version.variables],
        [(one.description, one.parameters) for one in version.tools],
        version.response_schema,
    ]
    prose = [text for _, text in strings_of(besides) if len(text.split()) >= PROSE]
    whole = "\n".join(dict.fromkeys(prose))
    return [whole] if len(whole.split()) >= LEAST_COMPARED else []


def strings_of(value: Any) -> Iterator[tuple[str, str]]:  # Any: JSON
    """Of a JSON value: its strings, numbers and the names of its members, in their order, with their JSON pointers."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        pointer, part = waiting.pop()
        if isinstance(part, dict):
            inner: list[tuple[str, Any]] = []
            for name, member in part.items():
                below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
                inner += [(below, name), (below, member)]
            waiting += reversed(inner)
        elif isinstance(part, list | tuple):
            waiting += reversed([(f"{pointer}/{number}", member) for number, member in enumerate(part)])
        elif isinstance(part, str):
            yield pointer, part
        elif isinstance(part, int | float) and not isinstance(part, bool):
            yield pointer, str(part)


def text_of(content: Content) -> str:
    """One text, the messages of a chat under their roles."""
    if isinstance(content, str):
        return content
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in content)


def whole_of(version: PromptVersionView) -> str:
    """Everything that a version is made of as one text: what is sold besides the content follows it, as JSON."""
    return "\n\n".join([text_of(version.content), *_besides(version)])


def _besides(version: PromptVersionView) -> Iterator[str]:
    settings = {name: value for name, value in asdict(version.settings).items() if value is not None}
    named: list[tuple[str, object]] = [("settings", settings or None), ("response schema", version.response_schema)]
    named += [(f"variable {one.name}", asdict(one)) for one in version.variables]
    named += [(f"tool {one.name}", asdict(one)) for one in version.tools]
    for name, value in named:
        if value is not None:
            yield f"--- {name}\n{json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)}"


def unified(before: PromptVersionView, after: PromptVersionView) -> str:
    """As `diff -u` shows it, of everything that is sold."""
    lines = difflib.unified_diff(
        whole_of(before).splitlines(), whole_of(after).splitlines(), "published", "under review", lineterm=""
    )
    return "\n".join(lines)
