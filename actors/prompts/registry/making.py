"""Making a prompt: the same for a new one, a fork and an import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from promptforge.actors.prompts.messages import PromptKind, PromptView, Provenance
from promptforge.core.context import Context
from promptforge.core.ids import new_id

if TYPE_CHECKING:
    from promptforge.actors.prompts.stores import Stores


class WantedPrompt(Protocol):
    """What a new prompt is to be called, and where it lies in its project."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> PromptKind: ...
    @property
    def description(self) -> str | None: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def folder(self) -> str: ...


async def make_prompt(
    stores: Stores, tx: Context, project_id: str, wanted: WantedPrompt, *, forked_from: Provenance | None = None
) -> PromptView:
    """A prompt without a version. That the user may is the caller's to know. Raises `NameTaken`."""
    now = tx.now()
    prompt = PromptView(
        id=new_id("prm"),
        project_id=project_id,
        name=wanted.name,
        kind=wanted.kind,
        description=wanted.description,
        tags=tuple(dict.fromkeys(wanted.tags)),
        folder=wanted.folder,
        latest_version=0,
        forked_from=forked_from,
        created_by=tx.user_id,
        archived_at=None,
        created_at=now,
        updated_at=now,
    )
    await stores.prompts.insert(prompt, session=tx.session)
    return prompt
