"""What the prompts' stores declare, and the stores themselves."""

from __future__ import annotations

from promptforge.actors.prompts.drafts import store as drafts
from promptforge.actors.prompts.drafts.store import DraftStore
from promptforge.actors.prompts.labels import store as labels
from promptforge.actors.prompts.labels.store import LabelStore
from promptforge.actors.prompts.registry import store as registry
from promptforge.actors.prompts.registry import versions
from promptforge.actors.prompts.registry.store import PromptStore
from promptforge.actors.prompts.registry.versions import VersionStore
from promptforge.actors.prompts.stores import Stores
from promptforge.core.mongo import Index
from promptforge.core.personal import Held

INDEXES: dict[str, tuple[Index, ...]] = {
    **registry.INDEXES,
    **versions.INDEXES,
    **labels.INDEXES,
    **drafts.INDEXES,
}
HELD: dict[str, Held] = {
    **registry.HELD,
    **versions.HELD,
    **labels.HELD,
    **drafts.HELD,
}

__all__ = ["HELD", "INDEXES", "DraftStore", "LabelStore", "PromptStore", "Stores", "VersionStore"]
