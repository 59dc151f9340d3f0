"""What programs poll: a version with its includes resolved and its variables left in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
from promptforge.core.messages import Query, requires


@dataclass(frozen=True, slots=True)
class CompiledView:
    """A version for a program to fill in. `variables` are all that the content uses, includes resolved.

    `content_hash` is the version's own: that of two contents differs where an include was moved, and so does the ETag.
    """

    prompt_id: str
    name: str
    version: int
    label: str | None
    kind: PromptKind
    content: str | tuple[ChatMessage, ...]
    variables: tuple[Variable, ...]
    settings: ModelSettings
    tools: tuple[Tool, ...]
    response_schema: dict[str, Any] | None  # Any: JSON
    content_hash: str


@requires(scope="prompts:read")
class GetCompiledPrompt(Query[CompiledView]):
    """Read a version as programs use it: of `version`, or of `label` (`production` where neither is given).

    Poll it with `If-None-Match`. After a label was moved, every process answers the new version within a second.
    """

    prompt_id: PromptId
    version: VersionNumber | None = None
    label: AnyLabel | None = None
