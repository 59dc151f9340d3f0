"""Drafts: one per prompt, beside its versions, saved over and over, and published in the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from annotated_types import Ge, Len
from pydantic import Field

from promptforge.actors.prompts.messages import (
    ChangeMessage,
    ChatMessage,
    ChatRole,
    JsonSchema,
    ModelSettings,
    PromptId,
    PromptVersionView,
    Tool,
    Tools,
    Variable,
    Variables,
)
from promptforge.core.made import Made
from promptforge.core.messages import Command, Query, requires

DraftText = Annotated[str, Field(max_length=262_144, examples=["Summarise {{article}} in "])]


@dataclass(frozen=True, slots=True)
class DraftMessage:
    """One message of a chat prompt's draft; it may be empty still."""

    role: ChatRole
    content: DraftText


DraftContent = DraftText | Annotated[tuple[DraftMessage, ...], Len(0, 100)]


@dataclass(frozen=True, slots=True)
class DraftView:
    """A prompt's draft. `base_version` is the version that it was begun from."""

    prompt_id: str
    content: str | tuple[ChatMessage, ...]
    settings: ModelSettings
    tools: tuple[Tool, ...]
    response_schema: dict[str, Any] | None  # Any: JSON
    variables: tuple[Variable, ...]
    base_version: int
    updated_by: str
    updated_at: datetime


@requires(scope="prompts:write")
class SaveDraft(Command[DraftView]):
    """Save a prompt's draft, whole; it may be unfinished, and is judged only when it is published.

    There is one for all editors: send `If-Match` with the ETag of the draft that you began from, and 412 says that
    somebody else has saved since. Without `base_version` it is based on the latest version.
    """

    prompt_id: PromptId
    content: DraftContent
    settings: ModelSettings = ModelSettings()
    tools: Tools = ()
    response_schema: JsonSchema | None = None
    variables: Variables = ()
    base_version: Annotated[int, Ge(0)] | None = None


@requires(scope="prompts:read")
class GetDraft(Query[DraftView]):
    """Read a prompt's draft; 404 where there is none."""

    prompt_id: PromptId


@requires(scope="prompts:write")
class DiscardDraft(Command[None]):
    """Throw a prompt's draft away."""

    prompt_id: PromptId


@requires(scope="prompts:write")
class PublishDraft(Command[Made[PromptVersionView]]):
    """Make a version of a prompt's draft, which is gone then.

    409 `stale_base` where a version came in between, and 409 `no_draft` where there is none. A draft that says what a
    version says already answers that one (200).
    """

    prompt_id: PromptId
    message: ChangeMessage | None = None
