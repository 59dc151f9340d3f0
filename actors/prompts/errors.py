"""What can be wrong with a prompt."""

from __future__ import annotations

from promptforge.core.errors import Conflict


class NameTaken(Conflict):
    code = "name_taken"
    title = "One of your prompts has this name already"


class StaleBase(Conflict):
    code = "stale_base"
    title = "The prompt has a newer version than the one you started from"


class PromptArchived(Conflict):
    code = "prompt_archived"
    title = "The prompt is archived: restore it first"
