"""Prompts and their versions: a prompt is a name and a history; a version never changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import MISSING, AfterValidator, Field

from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.text import LINE, TEXT, clean_line


def _clean_folder(path: str) -> str:
    """Each part of the path is a line of its own, so that two folders that look alike are one."""
    return "/".join(clean_line(part) for part in path.split("/")) if path else ""


PromptId = Annotated[str, Len(1, 64)]
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
class FirstVersion:
    """What version 1 of a new prompt is made of."""

    content: Content
    settings: ModelSettings = ModelSettings()
    message: ChangeMessage | None = None


@dataclass(frozen=True, slots=True)
class PromptView:
    """`latest_version` is 0 before the first version."""

    id: str
    name: str
    kind: PromptKind
    description: str | None
    tags: tuple[str, ...]
    folder: str
    latest_version: int
    archived_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PromptVersionView:
    """A version; `content_hash` is the SHA-256 (hex) of its canonical content and settings."""

    prompt_id: str
    version: int
    kind: PromptKind
    content: str | tuple[ChatMessage, ...]
    settings: ModelSettings
    message: str | None
    content_hash: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PinnedVersion:
    """What a listing needs to know of the version it sells; not the content."""

    prompt_id: str
    version: int
    kind: PromptKind
    content_hash: str


@requires(scope="prompts:write")
class CreatePrompt(Command[PromptView]):
    """Make a prompt, with its first version or without one.

    Its name is unique among your prompts that are not archived (409 `name_taken`).
    """

    name: PromptName
    kind: PromptKind = PromptKind.TEXT
    description: Description | None = None
    tags: Tags = ()
    folder: Folder = ""
    first_version: FirstVersion | None = None


@requires(scope="prompts:read")
class GetPrompt(Query[PromptView]):
    """Read one of your prompts."""

    prompt_id: PromptId


@requires(scope="prompts:read")
class ListPrompts(Query[Page[PromptView]]):
    """List your prompts, newest first; archived ones only where asked for."""

    archived: bool = False
    tag: Tag | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="prompts:write")
class UpdatePrompt(Command[PromptView]):
    """Change a prompt's name, description, tags or folder: only the fields that are sent change, null clears one."""

    prompt_id: PromptId
    name: PromptName | MISSING = MISSING
    description: Description | MISSING | None = MISSING
    tags: Tags | MISSING = MISSING
    folder: Folder | MISSING = MISSING


@requires(scope="prompts:write")
class ArchivePrompt(Command[PromptView]):
    """Archive a prompt: it leaves the lists, its versions stay, and its name may be used again."""

    prompt_id: PromptId


@requires(scope="prompts:write")
class RestorePrompt(Command[PromptView]):
    """Bring an archived prompt back; 409 `name_taken` where its name is used by another one now."""

    prompt_id: PromptId


@requires(scope="prompts:write")
class CreateVersion(Command[PromptVersionView]):
    """Add a version. Versions are numbered from 1 without a gap and never change.

    The same content and settings as an existing version answer that version, so sending the same again is safe. Else,
    with `base_version`, the latest version must still be that one (409 `stale_base`).
    """

    prompt_id: PromptId
    content: Content
    settings: ModelSettings = ModelSettings()
    message: ChangeMessage | None = None
    base_version: Annotated[int, Ge(0)] | None = None


@requires(scope="prompts:read")
class GetVersion(Query[PromptVersionView]):
    """Read one version of one of your prompts."""

    prompt_id: PromptId
    version: VersionNumber


@requires(scope="prompts:read")
class ListVersions(Query[Page[PromptVersionView]]):
    """List the versions of one of your prompts, newest first."""

    prompt_id: PromptId
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@internal
class GetPromptVersionFor(Query[PinnedVersion]):
    """A version of a prompt that belongs to `owner_id` and is not archived; `NotFound` otherwise."""

    prompt_id: PromptId
    version: int
    owner_id: str


@internal
class ReadPromptVersion(Query[PromptVersionView]):
    """A version's content, whoever owns it: that the reader is entitled to it is the asker's to know."""

    prompt_id: PromptId
    version: int
