"""A version with its includes resolved: what is served, rendered and sold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptforge.actors.prompts.messages import ChatMessage, PromptVersionView, PromptView, Variable
from promptforge.actors.prompts.registry.domain import Content, texts_of
from promptforge.actors.prompts.rendering.expansion import Expanded, Place, expand, joined
from promptforge.actors.prompts.rendering.library import load
from promptforge.actors.prompts.rendering.templates import variables_of
from promptforge.actors.prompts.rendering.values import effective
from promptforge.core.mongo import Session

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores


@dataclass(frozen=True, slots=True)
class Compiled:
    """`variables` are those that the texts use, those of what is included among them; `declared` all declarations."""

    prompt: PromptView
    version: PromptVersionView
    label: str | None
    expanded: Expanded
    variables: tuple[Variable, ...]
    declared: tuple[Variable, ...]

    @property
    def content(self) -> Content:
        return with_texts(self.version.content, tuple(joined(pieces) for pieces in self.expanded.texts))

    @property
    def prompt_ids(self) -> frozenset[str]:
        """The prompts that this is made of."""
        return frozenset({self.prompt.id, *(fragment.prompt_id for fragment in self.expanded.used)})


def with_texts(content: Content, texts: tuple[str, ...]) -> Content:
    """The content with other texts: the one, or those of the messages in their order."""
    if isinstance(content, str):
        return texts[0]
    return tuple(ChatMessage(message.role, text) for message, text in zip(content, texts, strict=True))


async def compile_version(
    stores: Stores, prompt: PromptView, version: PromptVersionView, *, label: str | None, session: Session | None
) -> Compiled:
    """Resolve the includes as they are now: one moment only with a transaction's session.

    Raises `IncludeCycle`, `IncludesTooDeep`, `IncludesTooLarge` or `IncludeMissing`.
    """
    library = await load(stores, version.includes, session=session) if version.includes else {}
    expanded = expand(
        texts_of(version.content), version.includes, library, root=Place(prompt.id, prompt.name, version.version)
    )
    used = [name for pieces in expanded.texts for name in variables_of(pieces)]
    declared = (*version.variables, *(variable for fragment in expanded.used for variable in fragment.variables))
    return Compiled(prompt, version, label, expanded, effective(used, declared), declared)
