"""What the change stream tells the caches of this process."""

from __future__ import annotations

from promptforge.actors.prompts import CompiledCache
from promptforge.core.mongo import Change, ChangeFeed


def follow_prompts(feed: ChangeFeed, cache: CompiledCache) -> None:
    """Evict what is served as soon as a prompt, a label or a project's members change."""

    def label_changed(change: Change) -> None:
        prompt_id, _, _ = str(change.document_id).partition(":")
        cache.prompt_changed(prompt_id)

    feed.subscribe("prompts", lambda change: cache.prompt_changed(change.document_id))
    feed.subscribe("prompt_labels", label_changed)
    feed.subscribe("projects", lambda change: cache.project_changed(change.document_id))
    feed.on_gap(cache.clear)
