"""What members of a project find of its prompts: how they are called and described, never what they say."""

from __future__ import annotations

from collections.abc import Iterable

from promptforge.actors.prompts.messages import PromptView
from promptforge.actors.search.messages import Kind, SearchDocument


def search_documents(prompts: Iterable[PromptView]) -> tuple[SearchDocument, ...]:
    """Those that are archived are left out."""
    return tuple(_document(prompt) for prompt in prompts if prompt.archived_at is None)


def _document(prompt: PromptView) -> SearchDocument:
    return SearchDocument(
        kind=Kind.PROMPT,
        id=prompt.id,
        audience=prompt.project_id,
        title=prompt.name,
        changed_at=prompt.updated_at,
        summary=prompt.description or "",
        body=prompt.folder,
        tags=prompt.tags,
    )
