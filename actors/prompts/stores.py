"""The stores that the actors of this feature share, and the question that all of them ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from promptforge.actors.projects.messages import LATEST, ProjectAccess, ProjectPermission, authorise
from promptforge.actors.prompts.drafts.store import DraftStore
from promptforge.actors.prompts.errors import NothingToServe
from promptforge.actors.prompts.labels.store import LabelStore
from promptforge.actors.prompts.messages import PromptView
from promptforge.actors.prompts.registry.store import PromptStore, no_prompt
from promptforge.actors.prompts.registry.versions import VersionStore
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid, NotFound
from promptforge.core.mongo import Mongo

DEFAULT_LABEL = "production"
"""What is served where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The version that a reader means: by number, or by label, and without either by `default`.

    `in_query`: it was said in the query of the request's path, not in its body.
    """

    version: int | None
    label: str | None
    default: str = DEFAULT_LABEL
    in_query: bool = False


def _nobody(prompt_id: str) -> None:
    """Nothing is kept in memory here."""


class Stores:
    """`changed` is told of a prompt that says something else now, in this process, at the commit."""

    def __init__(self, mongo: Mongo, *, changed: Callable[[str], None] = _nobody) -> None:
        self._changed = changed
        self.prompts = PromptStore(mongo)
        self.versions = VersionStore(mongo)
        self.labels = LabelStore(mongo)
        self.drafts = DraftStore(mongo)

    def changes(self, tx: Context, prompt_id: str) -> None:
        """To be called in the transaction that changes it. Other processes hear of it from the change stream."""
        tx.after_commit(lambda: self._changed(prompt_id))

    async def prompt_for(
        self, context: Context, prompt_id: str, permission: ProjectPermission = ProjectPermission.READ
    ) -> tuple[PromptView, ProjectAccess]:
        """The prompt, and what the context's user may do in its project.

        Raises `NotFound` for who is not in the project, `ProjectRoleMissing` or `ProjectArchived` for who is.
        """
        prompt = await self.prompts.get(prompt_id, session=context.session)
        try:
            access = await authorise(context, prompt.project_id, permission)
        except NotFound:
            raise no_prompt() from None  # word for word what a prompt that does not exist answers
        return prompt, access

    async def version_of(self, context: Context, prompt: PromptView, wanted: Wanted) -> tuple[int, str | None]:
        """The number of the version that is meant, and by which label it was found.

        Raises `Invalid` where both are given, `NotFound`, or `NothingToServe`.
        """
        if wanted.version is not None:
            if wanted.label is not None:
                raise _not_both(wanted)
            return wanted.version, None
        label = wanted.label or wanted.default
        if label == LATEST:
            if not prompt.latest_version:
                raise NothingToServe
            return prompt.latest_version, label
        found = await self.labels.find(prompt.id, label, session=context.session)
        if found is None:
            raise NotFound(f"The prompt has no label {label!r}")
        return found.version, label


def _not_both(wanted: Wanted) -> Invalid:
    where = {"parameter": "label"} if wanted.in_query else {"pointer": "/label"}
    error = FieldError("Give a version or a label, not both", "one_of_two", **where)
    return Invalid(error.detail, errors=(error,))
