"""The texts of a case that are looked at, each with its place in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from promptforge.actors.marketplace.messages import ListingView
from promptforge.actors.moderation.messages import CaseKind, CaseView
from promptforge.actors.packages.messages import PackagePart
from promptforge.actors.prompts.messages import PromptVersionView

LONGEST = 262_144
"""Characters of one text that are looked at: longer than a prompt may be."""
_PUBLIC = ("title", "summary", "description", "tags")


@dataclass(frozen=True, slots=True)
class Passage:
    """A text and where it stands: `content`, `message 2 (user)`, `description`."""

    place: str
    text: str

    def where(self, position: int) -> str:
        """Of a character in the text, for a person to find it."""
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
    for name, value in public.items():
        yield Passage(name, (", ".join(value) if isinstance(value, tuple) else str(value))[:LONGEST])
    if parts:
        yield from (Passage(part.place, part.text) for part in parts)
    else:
        yield from _of_prompt(version)


def _of_prompt(version: PromptVersionView) -> Iterator[Passage]:
    if isinstance(version.content, str):
        yield Passage("content", version.content[:LONGEST])
    else:
        for number, message in enumerate(version.content, 1):
            yield Passage(f"message {number} ({message.role})", message.content[:LONGEST])
    for variable in version.variables:
        for what, text in (("description", variable.description), ("default", variable.default)):
            if isinstance(text, str) and text:
                yield Passage(f"{what} of the variable {variable.name}", text[:LONGEST])
