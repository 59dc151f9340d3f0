"""Prompts and their versions: a prompt is a name in a project and a history; a version never changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Ge, Le, Len
from pydantic import MISSING, AfterValidator, Field

from promptforge.actors.projects.messages import LATEST, ProjectId
from promptforge.actors.search.messages import DocumentPage, SearchDocument
from promptforge.core.made import Made
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.text import LINE, TEXT, clean_line


def _clean_folder(path: str) -> str:
    """Each part of the path is a line of its own, so that two folders that look alike are one."""
    return "/".join(clean_line(part) for part in path.split("/")) if path else ""


PromptId = Annotated[str, Len(1, 64)]
MAX_EXPANDED_CHARACTERS = 1_048_576
"""Of all texts of a version together, its includes in their places."""
VersionNumber = Annotated[int, Ge(1), Le(1_000_000)]
PromptName = Annotated[str, Len(1, 120), LINE, Field(examples=["Hurried reader"])]
Description = Annotated[str, Len(1, 2000), TEXT]
Tag = Annotated[str, Len(1, 40), LINE]
Tags = Annotated[tuple[Tag, ...], Len(0, 20)]
Folder = Annotated[
    str,
    Field(max_length=200, pattern=r"^(?:[^/]+(?:/[^/]+)*)?$", examples=["news/daily"]),
    AfterValidator(_clean_folder),
]
TextContent = Annotated[str, Field(min_length=1, max_length=262_144, examples=["Summarise {{article}}."])]
ChangeMessage = Annotated[str, Len(1, 500), TEXT]
JsonSchema = Annotated[
    dict[str, Any],  # Any: JSON
    Field(
        description="A JSON Schema (draft 2020-12)",
        examples=[{"type": "object", "properties": {"summary": {"type": "string"}}, "required": ["summary"]}],
    ),
]
AnyLabel = Annotated[
    str,
    Field(
        min_length=1,
        max_length=40,
        pattern=r"^[a-z][a-z0-9._-]*$",
        examples=["production"],
        description=f"A label; `{LATEST}` is the newest version",
    ),
]


class PromptKind(StrEnum):
    """Fixed for the life of a prompt."""

    TEXT = "text"
    CHAT = "chat"


class ChatRole(StrEnum):
    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat prompt."""

    role: ChatRole
    content: TextContent


Content = TextContent | Annotated[tuple[ChatMessage, ...], Len(1, 100)]
"""Text for a prompt of kind `text`, a list of messages for `chat`; at most 256 KiB together."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How the prompt wants to be run; what is null is left to the model's default."""

    model: Annotated[str, Len(1, 100), LINE] | None = None
    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    top_p: Annotated[float, Ge(0), Le(1)] | None = None
    max_tokens: Annotated[int, Ge(1), Le(1_000_000)] | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is the JSON Schema of its arguments."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", examples=["look_up"])]
    description: Description | None = None
    parameters: JsonSchema | None = None


class VariableType(StrEnum):
    """What a variable's value is: `json` takes any, `enum` one of the variable's `values`."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"
    ENUM = "enum"


@dataclass(frozen=True, slots=True)
class Variable:
    """What stands for `{{name}}`. Without a default (null) a value must be given; `values` are those of an `enum`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$", examples=["article"])]
    type: VariableType = VariableType.STRING
    description: Description | None = None
    default: Any = None  # Any: JSON
    values: Annotated[tuple[Annotated[str, Len(1, 1000)], ...], Len(0, 100), Field(examples=[[]])] = ()


Tools = Annotated[tuple[Tool, ...], Len(0, 64), Field(examples=[[]])]
Variables = Annotated[tuple[Variable, ...], Len(0, 100)]


@dataclass(frozen=True, slots=True)
class FirstVersion:
    """What version 1 of a new prompt is made of."""

    content: Content
    settings: ModelSettings = ModelSettings()
    message: ChangeMessage | None = None
    tools: Tools = ()
    response_schema: JsonSchema | None = None
    variables: Variables = ()


@dataclass(frozen=True, slots=True)
class Include:
    """A text prompt of the same project that stands in the content, pinned by `version` or `label`."""

    name: str
    prompt_id: str
    version: int | None
    label: str | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which version a prompt was forked from; `purchase_id` where it had been bought."""

    prompt_id: str
    version: int
    purchase_id: str | None


@dataclass(frozen=True, slots=True)
class PromptView:
    """`latest_version` is 0 before the first version."""

    id: str
    project_id: str
    name: str
    kind: PromptKind
    description: str | None
    tags: tuple[str, ...]
    folder: str
    latest_version: int
    forked_from: Provenance | None
    created_by: str
    archived_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PromptVersionView:
    """A version; `content_hash` is the SHA-256 (hex) of everything in it but its message, in canonical form."""

    prompt_id: str
    version: int
    kind: PromptKind
    content: str | tuple[ChatMessage, ...]
    settings: ModelSettings
    message: str | None
    content_hash: str
    created_at: datetime
    created_by: str
    tools: tuple[Tool, ...] = ()
    response_schema: dict[str, Any] | None = None  # Any: JSON
    variables: tuple[Variable, ...] = ()
    includes: tuple[Include, ...] = ()


@dataclass(frozen=True, slots=True)
class PinnedVersion:
    """What a listing needs to know of the version it sells; not the content."""

    prompt_id: str
    version: int
    kind: PromptKind
    content_hash: str


@dataclass(frozen=True, slots=True)
class FolderCount:
    """A folder and how many prompts lie in it, those of folders below it left out."""

    folder: str
    prompts: int


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag and how many prompts have it."""

    tag: str
    prompts: int


@dataclass(frozen=True, slots=True)
class PromptIndexView:
    """The folders and the tags of a project's prompts, in the order of the alphabet."""

    folders: tuple[FolderCount, ...]
    tags: tuple[TagCount, ...]


@dataclass(frozen=True, slots=True)
class Dependant:
    """A prompt whose `version` includes another one, by `pin`. It is `live` while it is the latest or has a label."""

    prompt_id: str
    name: str
    version: int
    pin: str
    live: bool


@dataclass(frozen=True, slots=True)
class DependantsView:
    """The newest first; at most 200, and `more` where there are more."""

    items: tuple[Dependant, ...]
    more: bool


@requires(scope="prompts:write")
class CreatePrompt(Command[PromptView]):
    """Make a prompt, with its first version or without one, in a project (your personal one where none is named).

    Its name is unique among the project's prompts that are not archived (409 `name_taken`).
    """

    name: PromptName
    kind: PromptKind = PromptKind.TEXT
    description: Description | None = None
    tags: Tags = ()
    folder: Folder = ""
    project_id: ProjectId | None = None
    first_version: FirstVersion | None = None


@requires(scope="prompts:read")
class GetPrompt(Query[PromptView]):
    """Read a prompt of one of your projects."""

    prompt_id: PromptId


@requires(scope="prompts:read")
class ListPrompts(Query[Page[PromptView]]):
    """List the prompts of a project, or of all yours that are not archived, newest first.

    `folder` is a folder with those below it, `name` how the name begins. Archived prompts only where asked for.
    """

    archived: bool = False
    tag: Tag | None = None
    project_id: ProjectId | None = None
    folder: Folder | None = None
    name: Annotated[str, Len(1, 120)] | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="prompts:read")
class GetPromptIndex(Query[PromptIndexView]):
    """List the folders and tags of a project's prompts, with how many prompts each has."""

    project_id: ProjectId


@requires(scope="prompts:write")
class UpdatePrompt(Command[PromptView]):
    """Change a prompt's name, description, tags or folder: only the fields that are sent change, null clears one.

    Prompts that include it keep doing so under its new name.
    """

    prompt_id: PromptId
    name: PromptName | MISSING = MISSING
    description: Description | MISSING | None = MISSING
    tags: Tags | MISSING = MISSING
    folder: Folder | MISSING = MISSING


@requires(scope="prompts:write")
class ArchivePrompt(Command[PromptView]):
    """Archive a prompt: it leaves the lists, its versions stay, and its name may be used again.

    409 `has_dependants` where another prompt includes it, in its latest version or in one with a label.
    """

    prompt_id: PromptId


@requires(scope="prompts:write")
class RestorePrompt(Command[PromptView]):
    """Bring an archived prompt back; 409 `name_taken` where its name is used by another one now.

    What its latest version and those with a label include must be there: 409 `include_archived` naming what is to be
    restored first, `include_missing` where a label is gone that it includes by.
    """

    prompt_id: PromptId


@requires(scope="prompts:read")
class ListDependants(Query[DependantsView]):
    """List the versions of other prompts that include this one."""

    prompt_id: PromptId


@requires(scope="prompts:write")
class CreateVersion(Command[Made[PromptVersionView]]):
    """Add a version. Versions are numbered from 1 without a gap and never change.

    The same content, settings, tools, schema and variables as an existing version answer that version (200), so sending
    the same again is safe. Else, with `base_version`, the latest version must still be that one (409 `stale_base`).
    """

    prompt_id: PromptId
    content: Content
    settings: ModelSettings = ModelSettings()
    message: ChangeMessage | None = None
    tools: Tools = ()
    response_schema: JsonSchema | None = None
    variables: Variables = ()
    base_version: Annotated[int, Ge(0)] | None = None


@requires(scope="prompts:read")
class GetVersion(Query[PromptVersionView]):
    """Read one version of a prompt."""

    prompt_id: PromptId
    version: VersionNumber


@requires(scope="prompts:read")
class ListVersions(Query[Page[PromptVersionView]]):
    """List the versions of a prompt, newest first."""

    prompt_id: PromptId
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@internal
class GetPromptVersionFor(Query[PinnedVersion]):
    """A version, of a prompt that is not archived, which `owner_id` may sell: owners of its project may.

    Raises `NotFound` where there is none, `ProjectRoleMissing` for other members, and `UnpinnedInclude` where what is
    sold could change afterwards.
    """

    prompt_id: PromptId
    version: int
    owner_id: str


@internal
class ReadPromptVersion(Query[PromptVersionView]):
    """A version with its includes resolved, whoever asks: that the reader is entitled to it is the asker's to know."""

    prompt_id: PromptId
    version: int


@internal
class ListWithIncluded(Query[tuple[str, ...]]):
    """The keys of these versions, `prompt:number`, of what they include, down to the last one, and of their prompts.

    What is sold includes nothing by a label.
    """

    versions: tuple[tuple[PromptId, int], ...]


# For search


@internal
class ReadPromptDocuments(Query[tuple[SearchDocument, ...]]):
    """The documents of those of these prompts that there are and that are not archived."""

    ids: tuple[str, ...]


@internal
class ScanPromptDocuments(Query[DocumentPage]):
    """The documents of all prompts, in the order of their ids, behind `after`."""

    after: str | None
    limit: int
