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
    VersionNumber,
)
from promptforge.core.messages import Query, requires

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
