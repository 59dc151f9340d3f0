"""What this process keeps in memory of the database, and what the change stream tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from promptforge.actors.marketplace.documents.owned import Owned, owned
from promptforge.actors.marketplace.listings.pages import MarketPages
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.marketplace.purchases.store import ENTITLEMENTS, buyer_of
from promptforge.actors.moderation.duplicates.index import DuplicateIndex
from promptforge.actors.moderation.duplicates.store import FINGERPRINTS
from promptforge.actors.projects import Memberships
from promptforge.actors.prompts import CompiledCache
from promptforge.actors.search.changes import ChangedDocuments
from promptforge.core.mongo import Change, ChangeFeed, Pulse


@dataclass(frozen=True, slots=True)
class Memory:
    """They hold what the feed has not told them to forget; those that follow none answer nothing, or read anew.

    `look` raises where MongoDB does not answer.
    """

    compiled: CompiledCache = field(default_factory=CompiledCache)
    memberships: Memberships = field(default_factory=Memberships)
    duplicates: DuplicateIndex = field(default_factory=DuplicateIndex)
    found: ChangedDocuments = field(default_factory=ChangedDocuments)
    pages: MarketPages = field(default_factory=MarketPages)
    owned: Owned = field(default_factory=owned)
    look: Callable[[], Awaitable[None]] | None = None


def memory_of(feed: ChangeFeed, pulse: Pulse) -> Memory:
    """What is served is forgotten as soon as a prompt, a label or a project's members change.

    Who changes members in this process is heard of by the memberships at once, and what is served by them; who changes
    prompts, by the prompts' stores.
    """

    def heard() -> bool:
        return feed.healthy

    compiled = CompiledCache(heard)
    memberships = Memberships(heard, forgotten=compiled.project_changed)

    def label_changed(change: Change) -> None:
        prompt_id, _, _ = str(change.document_id).partition(":")
        compiled.prompt_changed(prompt_id)

    feed.subscribe("prompts", lambda change: compiled.prompt_changed(change.document_id))
    feed.subscribe("prompt_labels", label_changed)
    feed.subscribe("projects", lambda change: memberships.project_changed(change.document_id, people=_listed(change)))
    duplicates = DuplicateIndex(heard)
    feed.subscribe(FINGERPRINTS, lambda change: duplicates.changed(change.document_id))
    found = ChangedDocuments()
    found.follow(feed)
    feed.on_gap(compiled.clear)
    feed.on_gap(memberships.clear)
    feed.on_gap(duplicates.clear)
    pages = MarketPages(heard)

    def listing_changed(change: Change) -> None:
        if change.operation == "update":
            pages.changed(str(change.document_id), change.updated)
        elif not _is_a_draft(change):
            pages.clear()

    feed.subscribe(LISTINGS, listing_changed)
    feed.on_gap(pages.clear)
    bought = owned(heard)
    feed.subscribe(ENTITLEMENTS, lambda change: bought.forget((buyer_of(change.document_id),)))
    feed.on_gap(bought.clear)
    return Memory(compiled, memberships, duplicates, found, pages, bought, pulse.look)


def _is_a_draft(change: Change) -> bool:
    """A new listing that no list has, as all are made."""
    if change.operation != "insert" or change.document is None:
        return False
    return bool(change.document["state"] != ListingState.PUBLISHED.value)


def _listed(change: Change) -> Collection[str] | None:
    """Whose lists of projects a change concerns; None: nobody knows, for it does not say who was in it before."""
    if change.operation == "insert" and change.document is not None:
        return [member["user_id"] for member in change.document["members"]]
    if change.operation == "update" and not any(path.startswith(("members", "archived")) for path in change.updated):
        return ()
    return None
