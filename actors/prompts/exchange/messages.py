"""Import and export. What is exported is what the import of format `promptforge` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.actors.projects.messages import LabelName, ProjectId
from promptforge.actors.prompts.messages import (
    ChangeMessage,
    Content,
    Description,
    Folder,
    JsonSchema,
    ModelSettings,
    PromptKind,
    PromptName,
    Tags,
    Tools,
    Variables,
    VersionNumber,
)
from promptforge.core.messages import Command, Query, requires
from promptforge.core.pages import CursorToken

_NO_SETTINGS = ModelSettings()
MAX_ITEMS = 100
MAX_VERSIONS = 500
"""Of one import."""


class ImportFormat(StrEnum):
    """`langfuse`: what its `GET /api/public/v2/prompts/{name}` answers.

    `openai`: a stored prompt (`pmpt_…`) as a request to the Responses API, or as a response that it made.
    """

    PROMPTFORGE = "promptforge"
    LANGFUSE = "langfuse"
    OPENAI = "openai"


class OnConflict(StrEnum):
    """Where the project has a prompt of that name: add the versions to it, take another name, or refuse the item."""

    MERGE = "merge"
    RENAME = "rename"
    REFUSE = "refuse"


class ImportOutcome(StrEnum):
    """`merged` into a prompt that was there; `unchanged` where that had everything already."""

    TAKEN = "taken"
    RENAMED = "renamed"
    MERGED = "merged"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ExportedVersion:
    """A version; in an import its number is what labels and includes of the same import mean by it."""

    version: VersionNumber
    content: Content
    settings: ModelSettings = _NO_SETTINGS
    tools: Tools = ()
    response_schema: JsonSchema | None = None
    variables: Variables = ()
    message: ChangeMessage | None = None


@dataclass(frozen=True, slots=True)
class ExportedPrompt:
    """A prompt whole. `versions_left_out` are older ones without a label, beyond what one page can hold."""

    name: PromptName
    kind: PromptKind
    description: Description | None = None
    tags: Tags = ()
    folder: Folder = ""
    versions: Annotated[tuple[ExportedVersion, ...], Len(0, MAX_VERSIONS)] = ()
    labels: Annotated[dict[LabelName, VersionNumber], Field(examples=[{"production": 3}])] = field(default_factory=dict)
    versions_left_out: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, slots=True)
class PromptExport:
    """`prompts` are items for an import. `next` is the cursor of the following page."""

    format: ImportFormat
    prompts: tuple[ExportedPrompt, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class ImportNote:
    """Something of an item that was left out or changed, and why; `pointer` is where it stood in the item."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """Why an item was refused."""

    code: str
    detail: str
    pointer: str | None


@dataclass(frozen=True, slots=True)
class ImportedItem:
    """What became of a prompt: of one item, or of several that are versions of one; `indexes` say which.

    A refused one left nothing behind. `prompt_id` is null then, and in a dry run for a prompt that would be new.
    """

    indexes: tuple[int, ...]
    name: str | None
    outcome: ImportOutcome
    prompt_id: str | None
    stored_as: str | None
    versions_added: int
    labels_set: tuple[str, ...]
    notes: tuple[ImportNote, ...]
    problems: tuple[ImportProblem, ...]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of every item."""

    dry_run: bool
    items: tuple[ImportedItem, ...]


@requires(scope="prompts:write")
class ImportPrompts(Command[ImportReport]):
    """Take in prompts, up to 100 items with 500 versions, into a project (your personal one where none is named).

    Each prompt is taken whole or not at all, and the report says what became of it and why. Sent again it changes
    nothing. A label that is there already stays where it points; a protected one needs the role to move it. A dry run
    does everything and takes it back.
    """

    format: ImportFormat
    items: Annotated[
        tuple[dict[str, Any], ...],  # Any: JSON of somebody else's shape
        Len(1, MAX_ITEMS),
        Field(examples=[[{"name": "Greeting", "version": 1, "type": "text", "prompt": "Hello {{name}}"}]]),
    ]
    project_id: ProjectId | None = None
    on_conflict: OnConflict = OnConflict.MERGE
    dry_run: bool = False


@requires(scope="prompts:read")
class ExportPrompts(Query[PromptExport]):
    """Export the prompts of a project that are not archived: their labels, the newest 100 versions, and labelled ones.

    A page ends before it gets larger than about 8 MiB.
    """

    project_id: ProjectId
    limit: Annotated[int, Ge(1), Le(50)] = 20
    cursor: CursorToken | None = None
