"""What packages ask of prompts: versions with everything that they include, and taking them into a project."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.actors.prompts.exchange.messages import ExportedPrompt, OnConflict
from promptforge.core.messages import Command, Query, internal


@dataclass(frozen=True, slots=True)
class PackedPrompt:
    """A prompt with the versions that were asked for or are included; `content_hashes` are theirs, in their order.

    `included`: nobody asked for it by itself.
    """

    prompt_id: str
    prompt: ExportedPrompt
    content_hashes: tuple[str, ...]
    included: bool


@internal
class PackPrompts(Query[tuple[PackedPrompt, ...]]):
    """These versions, (prompt, version) each, and all that they include, sorted by name; they never change.

    Only for who may sell them, an owner of their project: what leaves in a package is out. Raises `NotFound`,
    `ProjectRoleMissing`, `UnpinnedInclude`, `NamesCollide` or `TooMuchToPack`.
    """

    wanted: tuple[tuple[str, int], ...]
    owner_id: str


@dataclass(frozen=True, slots=True)
class TakenPrompt:
    """What became of a prompt: its name in the package, its name in the project, and the numbers of its versions."""

    name: str
    stored_as: str
    prompt_id: str
    versions: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TakenPrompts:
    """`conflicts`: names that the project has already; with `REFUSE` nothing was taken then."""

    taken: tuple[TakenPrompt, ...]
    conflicts: tuple[str, ...]


@internal
class TakePrompts(Command[TakenPrompts]):
    """Take all of these into a project where the principal may write, or none, in the asker's transaction.

    Raises `ProjectRoleMissing`, `ProjectArchived`, `Invalid`, an error of their includes, or `UnknownIncludes` where
    one of them includes what is not among them.
    """

    project_id: str
    prompts: tuple[ExportedPrompt, ...]
    on_conflict: OnConflict
