"""Rendering: a version with its includes resolved and its variables filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from promptforge.actors.prompts.messages import (
    AnyLabel,
    ChatMessage,
    ModelSettings,
    PromptId,
    PromptKind,
    Tool,
    Variable,
    VersionNumber,
)
from promptforge.core.messages import Query, internal, requires

Values = Annotated[
    dict[str, Any],  # Any: JSON
    Field(examples=[{"article": "The council met on Monday."}], description="A value for each variable, by name"),
]


@dataclass(frozen=True, slots=True)
class RenderedView:
    """A prompt ready for a model. `label` is null where a version was asked for."""

    prompt_id: str
    version: int
    label: str | None
    kind: PromptKind
    content: str | tuple[ChatMessage, ...]
    settings: ModelSettings
    tools: tuple[Tool, ...]
    response_schema: dict[str, Any] | None  # Any: JSON


@requires(scope="prompts:read")
class RenderPrompt(Query[RenderedView]):
    """Fill in a version's variables: of `version`, or of `label` (`production` where neither is given).

    Strict: a variable that is missing, unknown or not of its type is a 422 that points to it. Numbers, booleans and
    JSON are put down as JSON. What a value says is never read as a variable or an include.
    """

    prompt_id: PromptId
    version: VersionNumber | None = None
    label: AnyLabel | None = None
    variables: Values = field(default_factory=dict)


@internal
class FillIn(Query[str | tuple[ChatMessage, ...]]):
    """A compiled content with its variables filled in: nothing is looked up, so it is the same at any time.

    Values that it does not ask for are left out; otherwise as strict as `RenderPrompt`. `declared`: the declarations of
    the version that it is the content of.
    """

    content: str | tuple[ChatMessage, ...]
    declared: tuple[Variable, ...]
    values: Values


@dataclass(frozen=True, slots=True)
class SealedPrompt:
    """A version with its includes in place, for having it run for people who must not see it.

    `variables` are those that it uses; `pieces` is all of its text but for those: their defaults, and the prose of the
    response schema, are in it. Tools are not: what is sealed runs without any.
    """

    kind: PromptKind
    content: str | tuple[ChatMessage, ...]
    pieces: tuple[str, ...]
    variables: tuple[Variable, ...]
    settings: ModelSettings
    tools: tuple[Tool, ...]
    response_schema: dict[str, Any] | None  # Any: JSON


@internal
class ReadSealedPrompt(Query[SealedPrompt]):
    """A version, whoever asks: what of it may leave the service is the asker's to know."""

    prompt_id: PromptId
    version: VersionNumber


@dataclass(frozen=True, slots=True)
class PinnedContent:
    """A version with its includes in place as they are now, to be kept: it says the same whatever labels do later."""

    project_id: str
    prompt_id: str
    version: int
    label: str | None
    content_hash: str
    content: str | tuple[ChatMessage, ...]
    declared: tuple[Variable, ...]
    settings: ModelSettings
    response_schema: dict[str, Any] | None  # Any: JSON


@internal
class PinVersion(Query[PinnedContent]):
    """A version of a prompt in whose project the principal may write: `version`, or what `label` points to now.

    Raises what `RenderPrompt` does, `ProjectRoleMissing` and `ProjectArchived`.
    """

    prompt_id: PromptId
    version: VersionNumber | None = None
    label: AnyLabel | None = None
