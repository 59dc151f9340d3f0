"""What the change stream tells the caches of this process."""

from __future__ import annotations

from promptforge.actors.projects import Memberships
from promptforge.actors.prompts import CompiledCache
from promptforge.core.mongo import Change, ChangeFeed


def caches(feed: ChangeFeed) -> tuple[CompiledCache, Memberships]:
    """Both follow the feed: what is served is forgotten as soon as a prompt, a label or a project's members change.

    Who changes members in this process is heard of by the memberships at once, and what is served by them.
    """
    cache = CompiledCache(lambda: feed.healthy)
    memberships = Memberships(lambda: feed.healthy, forgotten=cache.project_changed)

    def label_changed(change: Change) -> None:
        prompt_id, _, _ = str(change.document_id).partition(":")
        cache.prompt_changed(prompt_id)

    feed.subscribe("prompts", lambda change: cache.prompt_changed(change.document_id))
    feed.subscribe("prompt_labels", label_changed)
    feed.subscribe("projects", lambda change: memberships.project_changed(change.document_id))
    feed.on_gap(cache.clear)
    feed.on_gap(memberships.clear)
    return cache, memberships
