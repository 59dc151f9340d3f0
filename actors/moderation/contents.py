"""Which text a case is about, and how it differs from the one that is published."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

from promptforge.actors.marketplace.messages import ListingView
from promptforge.actors.moderation.messages import CaseKind, CaseView
from promptforge.actors.packages.messages import PackagePart, ReadPackageParts, ReadPackageText
from promptforge.actors.prompts.messages import ChatMessage, PromptVersionView, ReadPromptVersion
from promptforge.core.messages import Query

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
    """The texts that copies are looked for by, each once: a package's prompts, of all first the newest version."""
    behind: Counter[str] = Counter()
    ranked = []
    for part in parts:
        if part.prompt is not None:
            ranked.append((behind[part.prompt], part.text))
            behind[part.prompt] += 1
    ranked.sort(key=lambda pair: pair[0])
    return list(dict.fromkeys(text for _, text in ranked)) or [text_of(version.content)]


def text_of(content: Content) -> str:
    """One text, the messages of a chat under their roles."""
    if isinstance(content, str):
        return content
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in content)


def unified(before: Content, after: Content) -> str:
    """As `diff -u` shows it."""
    lines = difflib.unified_diff(
        text_of(before).splitlines(), text_of(after).splitlines(), "published", "under review", lineterm=""
    )
    return "\n".join(lines)
