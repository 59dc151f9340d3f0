"""What can be wrong with a prompt."""

from __future__ import annotations

from promptforge.core.errors import Conflict


class NameTaken(Conflict):
    code = "name_taken"
    title = "A prompt of this project has this name already"


class StaleBase(Conflict):
    code = "stale_base"
    title = "The prompt has a newer version than the one you started from"


class PromptArchived(Conflict):
    code = "prompt_archived"
    title = "The prompt is archived: restore it first"


class HasDependants(Conflict):
    code = "has_dependants"
    title = "Other prompts include this one"


class IncludeCycle(Conflict):
    code = "include_cycle"
    title = "Prompts include each other in a circle"


class IncludesTooDeep(Conflict):
    code = "includes_too_deep"
    title = "Includes go too many levels deep"


class IncludesTooLarge(Conflict):
    code = "includes_too_large"
    title = "With all its includes the prompt is too large"


class IncludeMissing(Conflict):
    code = "include_missing"
    title = "What the prompt includes is not there"


class IncludeArchived(Conflict):
    code = "include_archived"
    title = "What the prompt includes is archived: restore that first"


class UnpinnedInclude(Conflict):
    code = "unpinned_include"
    title = "What is sold must not change: include versions, not labels"


class TooManyLabels(Conflict):
    code = "too_many_labels"
    title = "The prompt has as many labels as it may have"


class NoDraft(Conflict):
    code = "no_draft"
    title = "The prompt has no draft to publish"


class NothingToServe(Conflict):
    code = "nothing_to_serve"
    title = "The prompt has no version yet"


class NamesCollide(Conflict):
    code = "names_collide"
    title = "Two prompts of a package cannot have one name"


class TooMuchToPack(Conflict):
    code = "too_much_to_pack"
    title = "The package would have too many versions of prompts"


class UnknownIncludes(Conflict):
    code = "unknown_includes"
    title = "The package includes what is not in it"
